"""The drop-in path of batches: prepared, reserved, sent, and from then on the batch of the key that made it.

A batch keeps the vendor's id. Our table says whose it is, the vendor what has become of it; its results settle it.
"""

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import anyio
import msgspec

from app.domain import StoredBatch
from app.errors import AppError, ErrorCode, UpstreamError
from app.ledger import RateLimit, WireAnswer
from app.pipeline.batch_costing import open_batch_account
from app.pipeline.batch_preparing import make_ready_batch
from app.pipeline.batch_reading import BATCHES
from app.pipeline.batch_results import BatchBill, give_up_batch, results_with_cost, settle_batch
from app.pipeline.drop_in import RequestPolicy
from app.pipeline.ports import Services
from app.pipeline.stopwatch import Stopwatch
from app.upstream.calls import Call, Reply
from app.upstream.event_stream import EventStream
from app.upstream.failures import unreadable

BATCH_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
"""What an id may be: it becomes a part of the vendor's path."""

_ASKED_AT_ONCE = 8
_REMEMBER_AGAIN_S = (0.1, 0.5, 2.0)
_NOT_FOUND, _SERVER_ERROR = 404, 500

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchCall:
    """Whose batches a request is about, and what of it goes on to the vendor."""

    owner: str
    headers: Mapping[str, str]
    query: str


@dataclass(frozen=True, slots=True)
class PageAsked:
    """A page of a list: at most `limit` batches, next to the one before or behind which they stand, if any."""

    limit: int
    before_id: str | None = None
    after_id: str | None = None


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Batches as the vendor describes them, newest first; first and last are of the page, also where one is missing."""

    batches: Sequence[bytes]
    has_more: bool
    first_id: str | None
    last_id: str | None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The vendor's answer to a new batch."""

    reply: Reply
    image_tokens: int
    rate_limits: tuple[RateLimit, ...]


async def submit_batch(
    body: bytes,
    policy: RequestPolicy,
    call: BatchCall,
    services: Services,
    watch: Stopwatch,
    render: Callable[[Submitted], WireAnswer],
) -> WireAnswer:
    """The new batch, rendered, which is the caller's from now on.

    Raises:
        AppError: as `make_ready_batch`, or no money left; nothing was sent.
        UpstreamError: the vendor's refusal, or nobody knows what became of it.
    """
    ready = await make_ready_batch(body, policy, services)
    if policy.room is not None:
        await policy.room.send(len(ready.body))
    watch.lap("normalize")
    async with open_batch_account(ready.shares, policy, services) as account:
        account.sending()
        try:
            reply = await services.upstream.send(
                Call("POST", BATCHES, call.headers, call.query, ready.body, resend=False)
            )
        except UpstreamError as error:
            account.refused(error)
            raise
        watch.lap("upstream")
        answer = render(Submitted(reply, ready.image_tokens, account.rate_limits))
        with anyio.CancelScope(shield=True):
            made = StoredBatch(
                id=_id_of(reply),
                owner=call.owner,
                requests=ready.requests,
                shares=account.shares,
                upstream_request_id=reply.request_id,
                timing_ms=watch.timing_ms(),
                created_at=services.clock.now(),
            )
            await _remember(made, services)
            await account.kept(answer, services)
    return answer


async def _remember(batch: StoredBatch, services: Services) -> None:
    """Have it be the caller's; tried again where the database fails, for the vendor has begun, and bills it."""
    for delay_s in (*_REMEMBER_AGAIN_S, None):
        try:
            await services.batches.add(batch)
        except Exception:
            if delay_s is None:
                _log.exception("batch %s of %s is at the vendor and in no list here", batch.id, batch.owner)
                raise
            _log.warning("batch %s is not in the list yet, and is put there again", batch.id)
            await anyio.sleep(delay_s)
        else:
            return


async def list_batches(asked: PageAsked, call: BatchCall, services: Services) -> BatchPage:
    """The caller's batches, as they are now; those that the vendor knows no more are left out.

    Raises:
        AppError: `invalid_request`, there is no such page.
        UpstreamError: the vendor's refusal.
    """
    found, has_more = await _page(asked, call, services)
    described: dict[str, bytes] = {}
    refused: list[UpstreamError] = []
    at_once = anyio.Semaphore(_ASKED_AT_ONCE)

    async def describe(batch: StoredBatch) -> None:
        async with at_once:
            try:
                described[batch.id] = (await _shown(batch, call, services)).content
            except UpstreamError as error:
                if error.status != _NOT_FOUND:
                    refused.append(error)
                    tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for batch in found:
            tasks.start_soon(describe, batch)
    if refused:
        raise refused[0]
    batches = [described[batch.id] for batch in found if batch.id in described]
    return BatchPage(batches, has_more, found[0].id if found else None, found[-1].id if found else None)


async def show_batch(batch_id: str, call: BatchCall, services: Services) -> Reply:
    """The batch as it is now.

    Raises:
        AppError: `batch_not_found`.
        UpstreamError: the vendor's refusal.
    """
    return await _shown(await _owned(batch_id, call, services), call, services)


async def cancel_batch(batch_id: str, call: BatchCall, services: Services) -> Reply:
    """The batch, being cancelled. Raises as `show_batch`."""
    batch = await _owned(batch_id, call, services)
    return await _ask("POST", f"{BATCHES}/{batch.id}/cancel", call, services)


async def delete_batch(batch_id: str, call: BatchCall, services: Services) -> Reply:
    """The vendor's word that the batch is gone; it is forgotten here too, also where the vendor knew it no more.

    Its results go with it, so it is settled by them first; where the vendor has none any more it is `unknown`.

    Raises:
        AppError: `batch_not_found`.
        UpstreamError: the vendor's refusal, or the results broke off; then nothing is deleted.
    """
    batch = await _owned(batch_id, call, services)
    if batch.settled_at is None:
        await _settle_by_results(batch, call, services)
    try:
        reply = await _ask("DELETE", f"{BATCHES}/{batch.id}", call, services)
    except UpstreamError as error:
        if error.status == _NOT_FOUND:
            await _forget(batch, services)
        raise
    await _forget(batch, services)
    return reply


@asynccontextmanager
async def open_results(batch_id: str, call: BatchCall, services: Services) -> AsyncGenerator["BatchResults"]:
    """The results, begun; closed on exit.

    Raises:
        AppError: `batch_not_found`.
        UpstreamError: the vendor's refusal.
    """
    batch = await _owned(batch_id, call, services)
    asked = Call("GET", f"{BATCHES}/{batch.id}/results", call.headers, call.query)
    async with services.upstream.stream(asked) as stream:
        yield BatchResults(batch, stream, services)


class BatchResults:
    """The results of a batch as they come; read to their end they settle it."""

    def __init__(self, batch: StoredBatch, stream: EventStream, services: Services) -> None:
        """`stream` has begun and has not been read."""
        self._batch = batch
        self._stream = stream
        self._services = services

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the vendor's answer."""
        return self._stream.headers

    async def lines(self) -> AsyncIterator[bytes]:
        """Each line, with its cost; what the batch did cost is written down before the end is told.

        Raises:
            UpstreamError: the results broke off; nothing is settled.
        """
        bill = BatchBill()
        async for line in results_with_cost(self._stream.chunks(), self._batch.created_at, bill, self._services):
            yield line
        await settle_batch(self._batch, bill, self._services)


class _Progress(msgspec.Struct):
    """The vendor's batch, as far as it says whether anything can have been billed."""

    processing_status: str = ""
    request_counts: dict[str, int] = {}


async def _shown(batch: StoredBatch, call: BatchCall, services: Services) -> Reply:
    """The batch as it is now; one that has ended without a single answer is settled, for it cost nothing."""
    reply = await _ask("GET", f"{BATCHES}/{batch.id}", call, services)
    if batch.settled_at is None and _ended_without_answer(reply):
        await settle_batch(batch, BatchBill(results=batch.requests), services)
    return reply


def _ended_without_answer(reply: Reply) -> bool:
    try:
        progress = msgspec.json.decode(reply.content, type=_Progress)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return progress.processing_status == "ended" and progress.request_counts.get("succeeded") == 0


async def _settle_by_results(batch: StoredBatch, call: BatchCall, services: Services) -> None:
    """Read the results for what they cost; nothing, where the vendor says that there are none (any more)."""
    asked = Call("GET", f"{BATCHES}/{batch.id}/results", call.headers)
    try:
        async with services.upstream.stream(asked) as stream:
            async for _ in BatchResults(batch, stream, services).lines():
                pass
    except UpstreamError as error:
        if error.raw is None or error.raw.status >= _SERVER_ERROR:
            raise


async def _forget(batch: StoredBatch, services: Services) -> None:
    with anyio.CancelScope(shield=True):
        if batch.settled_at is None:
            await give_up_batch(batch, services)
        await services.batches.remove(batch.owner, batch.id)


async def _page(asked: PageAsked, call: BatchCall, services: Services) -> tuple[list[StoredBatch], bool]:
    """The rows of the page, newest first, and whether others follow in its direction."""
    if asked.before_id is not None:
        before = await _cursor("before_id", asked.before_id, call, services)
        found = await services.batches.next_newer(call.owner, asked.limit + 1, before)
        return found[: asked.limit][::-1], len(found) > asked.limit
    behind = None if asked.after_id is None else await _cursor("after_id", asked.after_id, call, services)
    found = await services.batches.newest(call.owner, asked.limit + 1, behind)
    return found[: asked.limit], len(found) > asked.limit


async def _cursor(field: str, batch_id: str, call: BatchCall, services: Services) -> StoredBatch:
    batch = await services.batches.find(call.owner, batch_id) if BATCH_ID.fullmatch(batch_id) else None
    if batch is None:
        message = f"{field}: there is no {batch_id[:100]} in this list"
        raise AppError(ErrorCode.INVALID_REQUEST, message, field=field)
    return batch


async def _ask(method: Literal["GET", "POST", "DELETE"], path: str, call: BatchCall, services: Services) -> Reply:
    reply = await services.upstream.send(Call(method, path, call.headers, call.query))
    reply.json_object()  # refuses what is no JSON object
    return reply


async def _owned(batch_id: str, call: BatchCall, services: Services) -> StoredBatch:
    """The batch, where it is the caller's.

    Raises:
        AppError: `batch_not_found`, in the vendor's words, whether or not it is somebody else's.
    """
    batch = await services.batches.find(call.owner, batch_id) if BATCH_ID.fullmatch(batch_id) else None
    if batch is None:
        named = batch_id[:100]
        raise AppError(ErrorCode.BATCH_NOT_FOUND, f"Message batch `{named}` not found.", batch_id=named)
    return batch


def _id_of(reply: Reply) -> str:
    """The id of a new batch.

    Raises:
        UpstreamError: the answer does not tell it.
    """
    batch_id = reply.json_object().get("id")
    if not isinstance(batch_id, str) or BATCH_ID.fullmatch(batch_id) is None:
        raise unreadable(reply.request_id)
    return batch_id
