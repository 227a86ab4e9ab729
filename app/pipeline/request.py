"""One question about pictures: a Messages request with the pictures lifted out, and what the caller asked of us."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from app.domain import DetailLevel, Json, RawImage, Usage
from app.errors import AppError, ErrorCode
from app.pipeline.message_body import JsonObject, Lifted, MessageBody, decode_any, decode_json, lift_messages

OWN_FIELDS = frozenset({"model", "max_tokens", "messages", "system", "stream", "stop_sequences", "thinking"})
"""Messages fields that the native endpoints have under the same name; `extra` may not say them a second time."""

_COUNTED = frozenset(
    {
        *("model", "system", "thinking", "tools", "tool_choice", "output_config", "cache_control", "speed"),
        *("user_profile_id", "workspace_id"),
    }
)
"""Messages fields that count_tokens takes too. Source: `MessageCountTokensParams` of anthropic 2.12.0."""


@dataclass(frozen=True, slots=True)
class VisionRequest:
    """What the pipeline works on. `images` and `labels` go together, in the order in which Claude reads them."""

    model: str
    body: MessageBody
    images: tuple[RawImage, ...]
    labels: tuple[str | None, ...]
    max_tokens: int
    stream: bool = False
    detail: DetailLevel = "auto"
    max_image_tokens: int | None = None
    max_cost_usd: Decimal | None = None
    billed_as: Usage = field(default_factory=dict[str, Json])
    """What the request says of its price, as `usage` will repeat it: speed, place of inference, cache writes."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sent on with the call."""
    query: str = ""
    """Sent on with the call, as it came."""
    remote_images: int = 0
    """Pictures that the vendor fetches: counted, and never seen here."""
    steady: bool = False
    """Whether each picture is sized as if there were many, so that a growing conversation does not resize it later."""


@dataclass(frozen=True, slots=True)
class Question:
    """The parts of a native request, read from whatever form it came in."""

    model: str
    max_tokens: int
    images: Sequence[RawImage]
    prompt: str | None = None
    system: Json = None
    stop_sequences: Sequence[str] | None = None
    thinking: Mapping[str, Json] | None = None
    effort: str | None = None
    messages: msgspec.Raw | None = None
    labels: bool | None = None
    extra: JsonObject = field(default_factory=dict[str, msgspec.Raw])
    stream: bool = False


def compose(question: Question, *, counting: bool = False) -> tuple[MessageBody, list[RawImage], list[str | None]]:
    """The Messages body, all pictures of it in the order Claude reads them, and the label of each.

    Pictures come before the prompt, as the vendor's guidance says, each behind its label where labels are on: by
    default where there are two or more. Numbers go on from the pictures of earlier turns, whose labels are unknown.
    `counting` leaves out what count_tokens would refuse.

    Raises:
        AppError: `no_image`, or `invalid_request` where `extra` repeats a field.
        ImageError: a picture in `messages` that cannot be used.
    """
    turns = Lifted()
    if question.messages is not None:
        lift_messages(question.messages, turns)
    labels: list[str | None] = [None] * len(turns.images)
    turns.text(b"," if turns.segments else b"", b'{"role":"user","content":[')
    total = len(turns.images) + len(question.images)
    if not total:
        raise AppError(
            ErrorCode.NO_IMAGE, "the request holds no picture", hint="send one as the form file `image` or in `images`"
        )
    labelled = question.labels if question.labels is not None else total > 1
    for image in question.images:
        label = f"Image {len(turns.images) + 1}" if labelled else None
        labels.append(label)
        if label is not None:
            turns.text(_text_block(f"{label}:"), b",")
        turns.text(b'{"type":"image","source":')
        turns.picture(image)
        turns.text(b"},")
    turns.text(_text_block(question.prompt or _default_prompt(len(question.images))), b"]}")
    opening = b"{" + b"".join(_fields(question, counting=counting)) + b'"messages":['
    return MessageBody((opening, *turns.segments, b"]}")), turns.images, labels


def from_messages(body: bytes, headers: Mapping[str, str], query: str, *, steady: bool) -> VisionRequest:
    """A body of `/v1/messages` with its pictures lifted out; one without pictures stays the very bytes that came.

    Any `cache_control` makes it steady, for then a picture that changes is paid for again.

    Raises:
        AppError: `invalid_request` where this is no JSON object with an array of messages.
        ImageError: a picture that is not base64.
    """
    fields = decode_json(body, JsonObject, "the body must be a JSON object")
    facts = decode_json(body, _MessagesFacts, "the body must be a Messages request")
    lifted = Lifted(keep_remote=True)
    if b'"image"' in body or b"\\u00" in body:  # the second is a letter of it written as an escape
        _lift_body(fields, lifted)
    segments = tuple(lifted.segments) if lifted.images else (body,)
    message_body = MessageBody(segments)
    hints = billing_hints(fields, message_body)
    return VisionRequest(
        model=facts.model if isinstance(facts.model, str) else "",
        body=message_body,
        images=tuple(lifted.images),
        labels=(None,) * len(lifted.images),
        max_tokens=int(facts.max_tokens) if isinstance(facts.max_tokens, int | float) else 0,
        stream=facts.stream is True,
        billed_as=hints,
        headers=headers,
        query=query,
        remote_images=lifted.remote_images,
        steady=steady or "cache_control" in hints,
    )


class _MessagesFacts(msgspec.Struct):
    """The fields of a Messages request that decide how it is handled; what is odd about them the vendor shall say."""

    model: Any = ""
    max_tokens: Any = 0
    stream: Any = False


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


def billing_hints(extra: JsonObject, body: MessageBody) -> Usage:
    """What the request says of its own price: `speed`, `inference_geo`, and whether it writes to the cache."""
    hints: dict[str, Json] = {}
    for name in ("speed", "inference_geo"):
        if name in extra:
            hints[name] = decode_any(extra[name], f"extra.{name} must be JSON")
    if any(b'"cache_control"' in segment for segment in body.segments if isinstance(segment, bytes)):
        hints["cache_control"] = True
    return hints


def _fields(question: Question, *, counting: bool) -> list[bytes]:
    """Every field but `messages`, each as `"name":value,`."""
    repeated = sorted(OWN_FIELDS.intersection(question.extra))
    if repeated:
        raise AppError(
            ErrorCode.INVALID_REQUEST,
            f"extra.{repeated[0]}: send {repeated[0]} as a field of its own",
            field=f"extra.{repeated[0]}",
        )
    own: dict[str, object] = {
        "model": question.model,
        "max_tokens": question.max_tokens,
        "system": question.system,
        "stop_sequences": question.stop_sequences,
        "thinking": question.thinking,
        "stream": question.stream or None,
        **question.extra,
    }
    if question.effort is not None:
        own["output_config"] = {**_output_config(question.extra), "effort": question.effort}
    return [
        msgspec.json.encode(name) + b":" + msgspec.json.encode(value) + b","
        for name, value in own.items()
        if value is not None and (name in _COUNTED or not counting)
    ]


def _output_config(extra: JsonObject) -> JsonObject:
    if "output_config" not in extra:
        return {}
    return decode_json(extra["output_config"], JsonObject, "extra.output_config must be an object")


def _text_block(text: str) -> bytes:
    return b'{"type":"text","text":' + msgspec.json.encode(text) + b"}"


def _default_prompt(images: int) -> str:
    return "Describe the images." if images > 1 else "Describe the image."
