"""The drop-in path of batches: the pictures of every request prepared before it goes, the cost put into every result.

A batch is handled request by request, so that memory holds what came, what goes, and a few requests in the making.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import anyio
import msgspec
from anyio import to_thread

from app.errors import AppError, ErrorCode
from app.pipeline.allowing import refuse_models_of_batched
from app.pipeline.billing import cost_of, read_bill
from app.pipeline.message_body import JsonObject, check_text, decode_any, decode_json, may_hold_pictures
from app.pipeline.ports import Services
from app.pipeline.ready import make_ready
from app.pipeline.request import RequestPolicy, VisionRequest, from_messages

BATCHES = "/v1/messages/batches"

MAX_BATCH_BYTES = 256_000_000
"""Of a batch's JSON. The documents say "256 MB"; whether 10^6 or 2^20 is not known, so the smaller is kept.

Source: https://platform.claude.com/docs/en/api/errors, seen 2026-08-22.
"""

_REQUESTS_AT_ONCE = 8
_BYTES_AT_ONCE = 32_000_000
"""Requests are prepared together up to either; a larger one is prepared alone."""

_LARGE_BYTES = 262_144
"""From this size on JSON is parsed in a thread; less is done sooner than a thread begins."""

_MAX_LINE_BYTES = 64_000_000
_MAX_CUSTOM_ID_CHARS = 64


@dataclass(frozen=True, slots=True)
class ReadyBatch:
    """The JSON of a batch that only has to be sent; `image_tokens` are those of all pictures, by the vendor's rule."""

    body: bytes
    image_tokens: int


async def make_ready_batch(
    body: bytes, policy: RequestPolicy, services: Services, max_bytes: int = MAX_BATCH_BYTES
) -> ReadyBatch:
    """The batch with the pictures of every request prepared as those of a Messages request; all else as it came.

    A request without pictures keeps its very bytes, and so does the whole body where none could hold any.

    Raises:
        AppError: `invalid_request`, `request_too_large_after_normalizing`, or what is wrong with one request, named
            as the vendor names it: `requests.N (custom_id): ...`, counted from 0.
    """
    batch = await to_thread.run_sync(_read_batch, body, policy)
    total = len(batch.requests)
    if not batch.pictured:
        _refuse_too_large(len(body), total, total, max_bytes)
        return ReadyBatch(body, 0)
    shared = replace(policy, max_fetched_bytes=policy.max_fetched_bytes // _REQUESTS_AT_ONCE)
    ready, image_tokens = BytesIO(), 0
    ready.write(batch.head)
    for window in _windows(batch.requests):
        for number, made in zip(window, await _prepare_window(batch, window, shared, services), strict=True):
            ready.write(b"," if number else b"")
            ready.write(made.json)
            image_tokens += made.image_tokens
            _refuse_too_large(ready.tell() + len(batch.tail), number + 1, total, max_bytes)
    ready.write(batch.tail)
    return ReadyBatch(ready.getvalue(), image_tokens)


def with_results_at(content: bytes, base_url: str) -> bytes:
    """The vendor's batch, or page of batches, with results at this service; every other member as it was spelt.

    `base_url` is where the client reaches this service, a slash at its end. What is neither stays as it is.
    """
    try:
        members = decode_json(content, JsonObject, "a batch must be an object")
        if "data" not in members:
            return msgspec.json.encode(_relocated(members, base_url))
        batches = decode_json(members["data"], list[JsonObject], "data must be an array of batches")
        data = msgspec.json.encode([_relocated(batch, base_url) for batch in batches])
        return msgspec.json.encode({**members, "data": msgspec.Raw(data)})
    except AppError:
        return content


async def results_with_cost(chunks: AsyncIterator[bytes], services: Services) -> AsyncIterator[bytes]:
    """The lines of a batch's results as they come, each answer with `usage.cost`; any other line as its bytes.

    Raises:
        UpstreamError: the results broke off; the part of a line that came last is not given.
    """
    async for line in _whole_lines(chunks):
        if len(line) > _LARGE_BYTES:
            yield await to_thread.run_sync(_with_cost, line, services)
        else:
            yield _with_cost(line, services)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The elements of `requests`, and the JSON before and after them.

    `pictured` are the places of those that may hold a picture or a file, counted from 0.
    """

    head: bytes
    requests: list[msgspec.Raw]
    tail: bytes
    pictured: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Made:
    """One element of `requests` as it goes to Claude."""

    json: bytes | msgspec.Raw
    image_tokens: int = 0


def _read_batch(body: bytes, policy: RequestPolicy) -> _Batch:
    """The batch taken apart, its elements still parts of `body`; what is odd about them the vendor shall say."""
    fields = decode_json(body, JsonObject, "the body must be a JSON object")
    raw = fields.get("requests", msgspec.Raw(b"[]"))
    requests = decode_json(raw, list[msgspec.Raw], "requests must be an array")
    pictured: set[int] = set()
    for number, element in enumerate(requests):
        text = bytes(element)
        try:
            check_text(text)
            refuse_models_of_batched(element, policy.models)
        except AppError as error:
            raise _about(error, number, element) from None
        if may_hold_pictures(text):
            pictured.add(number)
    head, tail = _around_requests(fields) if pictured else (b"", b"")
    return _Batch(head, requests, tail, frozenset(pictured))


def _around_requests(fields: JsonObject) -> tuple[bytes, bytes]:
    """The JSON up to the opening bracket of `requests`, and from its closing bracket on."""
    names = list(fields)
    place = names.index("requests")
    before = {name: fields[name] for name in names[:place]}
    after = {name: fields[name] for name in names[place + 1 :]}
    head = msgspec.json.encode(before)[:-1] + (b"," if before else b"") + b'"requests":['
    tail = b"]" + (b"," if after else b"") + msgspec.json.encode(after)[1:]
    return head, tail


def _windows(requests: list[msgspec.Raw]) -> Iterator[range]:
    """The places of requests that are prepared together, all of them in order."""
    start = size_bytes = 0
    for number, element in enumerate(requests):
        element_bytes = len(memoryview(element))
        if number - start == _REQUESTS_AT_ONCE or size_bytes + element_bytes > _BYTES_AT_ONCE:
            yield range(start, number)
            start, size_bytes = number, 0
        size_bytes += element_bytes
    yield range(start, len(requests))


async def _prepare_window(batch: _Batch, window: range, policy: RequestPolicy, services: Services) -> list[_Made]:
    """Each request of the window as it goes to Claude.

    Raises:
        AppError: what is wrong with the first of those that cannot be sent.
    """
    made = {number: _Made(batch.requests[number]) for number in window}
    refused: dict[int, AppError] = {}

    async def prepare(number: int) -> None:
        try:
            made[number] = await _prepare_one(batch.requests[number], policy, services)
        except AppError as error:
            refused[number] = _about(error, number, batch.requests[number])

    async with anyio.create_task_group() as tasks:
        for number in window:
            if number in batch.pictured:
                tasks.start_soon(prepare, number)
    if refused:
        raise refused[min(refused)]
    return [made[number] for number in window]


async def _prepare_one(element: msgspec.Raw, policy: RequestPolicy, services: Services) -> _Made:
    large = len(memoryview(element)) > _LARGE_BYTES
    read = await to_thread.run_sync(_read_one, element, policy) if large else _read_one(element, policy)
    if read is None:
        return _Made(element)
    members, request = read
    ready = await make_ready(request, services)
    return _Made(msgspec.json.encode({**members, "params": msgspec.Raw(ready.body)}), ready.image_tokens)


def _read_one(element: msgspec.Raw, policy: RequestPolicy) -> tuple[JsonObject, VisionRequest] | None:
    """The members of an element of `requests`, and its params as a request; None where it has no picture or file."""
    if bytes(memoryview(element)[:1]) != b"{":
        return None
    members = decode_json(element, JsonObject, "it must be an object")
    if "params" not in members:
        return None
    request = from_messages(bytes(members["params"]), {}, "", policy)
    return (members, request) if request.picture_count or request.body.files else None


def _about(error: AppError, number: int, element: msgspec.Raw) -> AppError:
    """The same error, naming the request of the batch; `number` counts from 0, as in the vendor's own messages."""
    custom_id = _custom_id(element)
    error.message = f"requests.{number}{f' ({custom_id})' if custom_id else ''}: {error.message}"
    error.details = {"request": number, **({"custom_id": custom_id} if custom_id else {}), **error.details}
    return error


def _custom_id(element: msgspec.Raw) -> str:
    """How the client calls the request, as far as it can be repeated; empty where it does not say."""
    try:
        named = decode_json(element, _Named, "")
    except AppError:
        return ""
    return "".join(char for char in named.custom_id if char.isprintable())[:_MAX_CUSTOM_ID_CHARS]


class _Named(msgspec.Struct):
    """An element of `requests`, as far as it says how it is called."""

    custom_id: str = ""


def _refuse_too_large(size_bytes: int, done: int, total: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise AppError(
            ErrorCode.REQUEST_TOO_LARGE_AFTER_NORMALIZING,
            f"the first {done} of {total} requests take {size_bytes} bytes; a whole batch may be {max_bytes}",
            actual=size_bytes,
            limit=max_bytes,
            request=max(done - 1, 0),
            hint="send the requests in several batches",
        )


def _relocated(batch: JsonObject, base_url: str) -> JsonObject:
    """The members of a batch; where it has results, at this service."""
    address = decode_any(batch.get("results_url", msgspec.Raw(b"null")), "results_url must be JSON")
    if address is None:
        return batch
    batch_id = decode_json(batch.get("id", msgspec.Raw(b'""')), str, "the id of a batch must be a text")
    own = f"{base_url}{BATCHES.removeprefix('/')}/{batch_id}/results"
    return {**batch, "results_url": msgspec.Raw(msgspec.json.encode(own))}


async def _whole_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each line with its end, the last one as it came; one that is far too long in pieces."""
    pending: list[bytes] = []
    pending_bytes = 0
    async for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            yield b"".join((*pending, piece, b"\n"))
            pending, pending_bytes = [], 0
        pending.append(rest)
        pending_bytes += len(rest)
        if pending_bytes > _MAX_LINE_BYTES:
            yield b"".join(pending)
            pending, pending_bytes = [], 0
    if pending_bytes:
        yield b"".join(pending)


def _with_cost(line: bytes, services: Services) -> bytes:
    """A line of results with `usage.cost` where it holds an answer, every other member as it was spelt."""
    try:
        members = decode_json(line, JsonObject, "a line of results must be an object")
        result = decode_json(members["result"], JsonObject, "a result must be an object")
        if decode_any(result["type"], "type must be JSON") != "succeeded":
            return line
        message = decode_json(result["message"], JsonObject, "a message must be an object")
        usage = decode_json(message["usage"], JsonObject, "usage must be an object")
    except (AppError, KeyError):
        return line
    bill = read_bill(result["message"])
    if bill is None:
        return line
    usage["cost"] = msgspec.Raw(msgspec.json.encode(_cost_usd(bill, services)))
    message["usage"] = msgspec.Raw(msgspec.json.encode(usage))
    result["message"] = msgspec.Raw(msgspec.json.encode(message))
    members["result"] = msgspec.Raw(msgspec.json.encode(result))
    return msgspec.json.encode(members) + b"\n"


def _cost_usd(bill: dict[str, Any], services: Services) -> float | None:
    """What the answer cost at the batch prices of today, at most nine decimals; None where no price is known.

    A result does not say when it was made.
    """
    bill["usage"]["service_tier"] = "batch"
    cost = cost_of(bill, "", 0, services)
    return None if cost is None else float(round(cost.total_usd, 9))
