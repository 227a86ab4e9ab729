"""The JSON of batches: a new one taken apart, so that each request can be looked at, and the vendor's told as ours."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from app.errors import AppError, ErrorCode
from app.pipeline.allowing import refuse_models_of_batched
from app.pipeline.crowded_json import JsonObject
from app.pipeline.drop_in import RequestPolicy, from_messages
from app.pipeline.json_text import check_text, decode_any, decode_json
from app.pipeline.lifting import may_hold_pictures
from app.pipeline.request import VisionRequest

BATCHES = "/v1/messages/batches"

MAX_BATCH_BYTES = 256_000_000
"""Of a batch's JSON. The documents say "256 MB"; whether 10^6 or 2^20 is not known, so the smaller is kept.

Source: https://platform.claude.com/docs/en/api/errors, seen 2026-08-22.
"""

REQUESTS_AT_ONCE = 8
_BYTES_AT_ONCE = 32_000_000
"""Requests are prepared together up to either; a larger one is prepared alone."""

_MAX_CUSTOM_ID_CHARS = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """The elements of `requests`, and the JSON before and after them.

    `pictured` are the places of those that may hold a picture or a file, counted from 0.
    """

    head: bytes
    requests: list[msgspec.Raw]
    tail: bytes
    pictured: frozenset[int]

    def windows(self) -> Iterator[range]:
        """The places of requests that are prepared together, all of them in order."""
        start = size_bytes = 0
        for number, element in enumerate(self.requests):
            element_bytes = len(memoryview(element))
            if number - start == REQUESTS_AT_ONCE or size_bytes + element_bytes > _BYTES_AT_ONCE:
                yield range(start, number)
                start, size_bytes = number, 0
            size_bytes += element_bytes
        yield range(start, len(self.requests))


def read_batch(body: bytes, policy: RequestPolicy) -> Batch:
    """The batch taken apart, its elements still parts of `body`; what is odd about them the vendor shall say.

    Raises:
        AppError: `invalid_request`, `model_not_allowed`.
    """
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
            raise about(error, number, element) from None
        if may_hold_pictures(text):
            pictured.add(number)
    head, tail = _around_requests(fields) if pictured else (b"", b"")
    return Batch(head, requests, tail, frozenset(pictured))


def read_one(element: msgspec.Raw, policy: RequestPolicy) -> tuple[JsonObject, VisionRequest] | None:
    """The members of an element of `requests`, and its params as a request; None where it has none that could be one.

    Raises:
        AppError: as of a Messages request.
    """
    if not _is_object(element):
        return None
    members = decode_json(element, JsonObject, "it must be an object")
    if "params" not in members or not (_is_object(members["params"]) or may_hold_pictures(members["params"])):
        return None
    return members, from_messages(bytes(members["params"]), {}, "", policy)


def about(error: AppError, number: int, element: msgspec.Raw) -> AppError:
    """The same error, naming the request of the batch; `number` counts from 0, as in the vendor's own messages."""
    custom_id = _custom_id(element)
    error.message = f"requests.{number}{f' ({custom_id})' if custom_id else ''}: {error.message}"
    error.details = {"request": number, **({"custom_id": custom_id} if custom_id else {}), **error.details}
    return error


def refuse_too_large(size_bytes: int, done: int, total: int, max_bytes: int) -> None:
    """Nothing, where so many bytes of the first `done` requests are within the limit.

    Raises:
        AppError: `request_too_large_after_normalizing`.
    """
    if size_bytes > max_bytes:
        raise AppError(
            ErrorCode.REQUEST_TOO_LARGE_AFTER_NORMALIZING,
            f"the first {done} of {total} requests take {size_bytes} bytes; a whole batch may be {max_bytes}",
            actual=size_bytes,
            limit=max_bytes,
            request=max(done - 1, 0),
            hint="send the requests in several batches",
        )


def with_results_at(content: bytes, base_url: str) -> bytes:
    """The vendor's batch with results at this service; every other member as it was spelt.

    `base_url` is where the client reaches this service, a slash at its end. What is no batch stays as it is.
    """
    try:
        return msgspec.json.encode(_relocated(decode_json(content, JsonObject, "a batch must be an object"), base_url))
    except AppError:
        return content


def _around_requests(fields: JsonObject) -> tuple[bytes, bytes]:
    """The JSON up to the opening bracket of `requests`, and from its closing bracket on."""
    names = list(fields)
    place = names.index("requests")
    before = {name: fields[name] for name in names[:place]}
    after = {name: fields[name] for name in names[place + 1 :]}
    head = msgspec.json.encode(before)[:-1] + (b"," if before else b"") + b'"requests":['
    tail = b"]" + (b"," if after else b"") + msgspec.json.encode(after)[1:]
    return head, tail


def _is_object(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"{"


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


def _relocated(batch: JsonObject, base_url: str) -> JsonObject:
    """The members of a batch; where it has results, at this service."""
    address = decode_any(batch.get("results_url", msgspec.Raw(b"null")), "results_url must be JSON")
    if address is None:
        return batch
    batch_id = decode_json(batch.get("id", msgspec.Raw(b'""')), str, "the id of a batch must be a text")
    own = f"{base_url}{BATCHES.removeprefix('/')}/{batch_id}/results"
    return {**batch, "results_url": msgspec.Raw(msgspec.json.encode(own))}
