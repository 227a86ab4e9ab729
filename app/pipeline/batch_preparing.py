"""plan -> normalize of a whole batch: the pictures of every request prepared, what each may cost added up.

A batch is handled request by request, so that memory holds what came, what goes, and a few requests in the making.
"""

from dataclasses import dataclass, replace
from io import BytesIO

import anyio
import msgspec
from anyio import to_thread

from app.errors import AppError
from app.pipeline.batch_costing import BatchTally, ModelShare
from app.pipeline.batch_reading import (
    MAX_BATCH_BYTES,
    REQUESTS_AT_ONCE,
    Batch,
    about,
    read_batch,
    read_one,
    refuse_too_large,
)
from app.pipeline.drop_in import RequestPolicy
from app.pipeline.ports import Services
from app.pipeline.ready import make_ready

_LARGE_BYTES = 262_144
"""From this size on JSON is parsed in a thread; less is done sooner than a thread begins."""


@dataclass(frozen=True, slots=True)
class ReadyBatch:
    """The JSON of a batch that only has to be sent; `image_tokens` are those of all pictures, by the vendor's rule.

    `shares` are what its requests may cost, by model.
    """

    body: bytes
    requests: int
    image_tokens: int
    shares: tuple[ModelShare, ...]


async def make_ready_batch(
    body: bytes, policy: RequestPolicy, services: Services, max_bytes: int = MAX_BATCH_BYTES
) -> ReadyBatch:
    """The batch with the pictures of every request prepared as those of a Messages request; all else as it came.

    A request without pictures keeps its very bytes, and so does the whole body where none could hold any.

    Raises:
        AppError: `invalid_request`, `request_too_large_after_normalizing`, or what is wrong with one request, named
            as the vendor names it: `requests.N (custom_id): ...`, counted from 0.
    """
    tally = BatchTally(services)
    batch = await to_thread.run_sync(_read, body, policy, tally)
    total = len(batch.requests)
    if not batch.pictured:
        refuse_too_large(len(body), total, total, max_bytes)
        return ReadyBatch(body, total, 0, tally.shares)
    together = replace(policy, max_fetched_bytes=policy.max_fetched_bytes // REQUESTS_AT_ONCE)
    ready, image_tokens = BytesIO(), 0
    ready.write(batch.head)
    for window in batch.windows():
        for number, made in zip(window, await _prepare(batch, window, together, services, tally), strict=True):
            ready.write(b"," if number else b"")
            ready.write(made.json)
            image_tokens += made.image_tokens
            refuse_too_large(ready.tell() + len(batch.tail), number + 1, total, max_bytes)
    ready.write(batch.tail)
    return ReadyBatch(ready.getvalue(), total, image_tokens, tally.shares)


@dataclass(frozen=True, slots=True)
class _Made:
    """One element of `requests` as it goes to Claude."""

    json: bytes | msgspec.Raw
    image_tokens: int = 0


def _read(body: bytes, policy: RequestPolicy, tally: BatchTally) -> Batch:
    """The batch taken apart; requests that hold no picture are in the tally by then."""
    batch = read_batch(body, policy)
    for number, element in enumerate(batch.requests):
        if number not in batch.pictured:
            try:
                read = read_one(element, policy)
                if read is not None:
                    tally.add(read[1])
            except AppError as error:
                raise about(error, number, element) from None
    return batch


async def _prepare(
    batch: Batch, window: range, policy: RequestPolicy, services: Services, tally: BatchTally
) -> list[_Made]:
    """Each request of the window as it goes to Claude.

    Raises:
        AppError: what is wrong with the first of those that cannot be sent.
    """
    made = {number: _Made(batch.requests[number]) for number in window}
    refused: dict[int, AppError] = {}

    async def prepare(number: int) -> None:
        try:
            made[number] = await _prepare_one(batch.requests[number], policy, services, tally)
        except AppError as error:
            refused[number] = about(error, number, batch.requests[number])

    async with anyio.create_task_group() as tasks:
        for number in window:
            if number in batch.pictured:
                tasks.start_soon(prepare, number)
    if refused:
        raise refused[min(refused)]
    return [made[number] for number in window]


async def _prepare_one(element: msgspec.Raw, policy: RequestPolicy, services: Services, tally: BatchTally) -> _Made:
    large = len(memoryview(element)) > _LARGE_BYTES
    read = await to_thread.run_sync(read_one, element, policy) if large else read_one(element, policy)
    if read is None:
        return _Made(element)
    members, request = read
    if not request.picture_count and not request.body.files:
        tally.add(request)
        return _Made(element)
    ready = await make_ready(request, services)
    tally.add(request, ready.image_tokens, ready.images)
    return _Made(msgspec.json.encode({**members, "params": msgspec.Raw(ready.body.joined())}), ready.image_tokens)
