"""A body of `/v1/messages`, read: the very bytes that came, with slots where its pictures stand."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from app.domain import Json, Spender, UrlMode
from app.errors import AppError
from app.ledger import Claim
from app.pipeline.allowing import named_models, refuse_other_models
from app.pipeline.crowded_json import JsonObject
from app.pipeline.cutting import Cut, cut, uncut
from app.pipeline.json_text import check_text, decode_any, decode_json
from app.pipeline.lifting import Lifted, lift_messages, may_hold_pictures, refuse_too_many
from app.pipeline.message_body import MessageBody
from app.pipeline.request import OWN_FIELDS, VisionRequest, billing_hints, is_bounded
from app.pipeline.room import Room
from app.pipeline.splicing import as_it_came, spliced

_LONGEST_SCALAR = 400

_MOST_OUTPUT_TOKENS = 10_000_000
"""More than any model gives; keeps sums of money within what a number can say."""


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """What the operator and the caller's key allow a drop-in request."""

    owner: str
    url_mode: UrlMode
    max_image_bytes: int
    max_fetched_bytes: int
    steady: bool
    spenders: tuple[Spender, ...] = ()
    endpoint: str = ""
    request_id: str = ""
    models: frozenset[str] | None = None
    claim: Claim | None = None
    """Of a whole batch."""
    room: Room | None = None
    digests: bool = True
    """Whether reports will be read."""


def from_messages(body: bytes, headers: Mapping[str, str], query: str, policy: RequestPolicy) -> VisionRequest:
    """A body of `/v1/messages` with its pictures lifted out; one without pictures stays the very bytes that came.

    Any `cache_control` makes it steady, for then a picture that changes is paid for again.

    Raises:
        AppError: `invalid_request` where this is no JSON object with an array of messages; `model_not_allowed`.
        ImageError: a picture that is not base64.
    """
    check_text(body)
    shortened = cut(body)
    try:
        return _read(shortened, headers, query, policy)
    except AppError:
        if not shortened.spans:
            raise
        return _read(uncut(body), headers, query, policy)  # whose refusals name places in the very body


def _read(body: Cut, headers: Mapping[str, str], query: str, policy: RequestPolicy) -> VisionRequest:
    fields = decode_json(body.text, JsonObject, "the body must be a JSON object")
    model, max_tokens, stream = (_scalar(fields.get(name)) for name in ("model", "max_tokens", "stream"))
    refuse_other_models(model, fields, policy.models)
    lifted = Lifted("fetch" if policy.url_mode == "fetch" else "passthrough", policy.max_image_bytes, body)
    if may_hold_pictures(body.text):
        refuse_too_many(body.text)
        _lift_body(fields, lifted)
    message_body = _message_body(body, lifted)
    if message_body is None:
        return _read(uncut(body.body), headers, query, policy)
    body.check_others()
    output_tokens = _output_tokens(max_tokens) if "max_tokens" in fields else 0
    hints = billing_hints(fields, message_body)
    return VisionRequest(
        model=model if isinstance(model, str) else "",
        body=message_body,
        images=tuple(lifted.images),
        numbers=tuple(lifted.numbers),
        picture_count=lifted.seen,
        document_count=lifted.documents,
        labels={},
        max_tokens=output_tokens or 0,
        other_models=frozenset(named_models(fields)),
        stream=stream is True,
        billed_as=hints,
        headers=headers,
        query=query,
        owner=policy.owner,
        spenders=policy.spenders,
        endpoint=policy.endpoint,
        request_id=policy.request_id,
        url_mode=policy.url_mode,
        max_fetched_bytes=policy.max_fetched_bytes,
        bounded=lifted.bounded and output_tokens is not None and _is_foreseeable(fields),
        steady=policy.steady or message_body.mentions(b'"cache_control"'),
        room=policy.room,
        digests=policy.digests,
    )


def _message_body(body: Cut, lifted: Lifted) -> MessageBody | None:
    """The body with its slots; None where it has to be read again with nothing cut out."""
    if not lifted.sources:
        return as_it_came(body)
    kept = spliced(lifted.segments, lifted.sources, body)
    return MessageBody(tuple(lifted.segments)) if kept is None and not body.spans else kept


def _scalar(raw: msgspec.Raw | None) -> Json:
    """A small value; None for anything else, which the vendor shall judge."""
    return None if raw is None or len(bytes(raw)) > _LONGEST_SCALAR else decode_any(raw, "the body must be JSON")


def _output_tokens(asked: Json) -> int | None:
    """How many the request asks for, as far as any model could give them; None where only the vendor can tell.

    It may take "100" or 100.0 for a number; what it refuses for certain must be no number that money cannot be told in.
    """
    return min(max(asked, 0), _MOST_OUTPUT_TOKENS) if type(asked) is int else None  # true is an int to Python


def _lift_body(fields: JsonObject, into: Lifted) -> None:
    """Append the whole request to `into`, the pictures of its messages replaced by slots."""
    into.text(b"{")
    for number, (name, value) in enumerate(fields.items()):
        into.text(b"," if number else b"", msgspec.json.encode(name), b":")
        if name == "messages":
            into.text(b"[")
            lift_messages(value, into)
            into.text(b"]")
        else:
            into.text(bytes(value))
    into.text(b"}")


def _is_foreseeable(fields: JsonObject) -> bool:
    """The same of a whole Messages body, whose oddities are the vendor's to refuse."""
    try:
        return is_bounded({name: value for name, value in fields.items() if name not in OWN_FIELDS})
    except AppError:
        return False
