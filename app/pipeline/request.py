"""One question about pictures: a Messages request with the pictures lifted out, and what the caller asked of us."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeAlias

import msgspec

from app.domain import (
    DetailLevel,
    FileImage,
    Json,
    Notice,
    Page,
    RawImage,
    RemoteImage,
    Spender,
    StoredFile,
    UrlMode,
    Usage,
)
from app.errors import AppError, ErrorCode, ImageError
from app.ledger import Claim
from app.pipeline.allowing import named_models, refuse_other_models
from app.pipeline.message_body import (
    JsonObject,
    Lifted,
    MessageBody,
    check_text,
    decode_any,
    decode_json,
    lift_messages,
    may_hold_pictures,
    refuse_too_many,
)
from app.pipeline.room import Room

OWN_FIELDS = frozenset({"model", "max_tokens", "messages", "system", "stream", "stop_sequences", "thinking"})
"""Messages fields that the native endpoints have under the same name; `extra` may not say them a second time."""

_LONGEST_SCALAR = 400

_MOST_OUTPUT_TOKENS = 10_000_000
"""More than any model gives; keeps sums of money within what a number can say."""

_BOUNDED_EXTRA = frozenset(
    {
        *("metadata", "tools", "tool_choice", "output_config", "cache_control", "service_tier", "speed"),
        *("inference_geo", "user_profile_id", "workspace_id", "temperature", "top_k", "top_p"),
    }
)
"""Fields of `extra` whose cost the upper bound covers; any other may bring tokens or models that nobody can foresee."""

_COUNTED = frozenset(
    {
        *("model", "system", "thinking", "tools", "tool_choice", "output_config", "cache_control", "speed"),
        *("user_profile_id", "workspace_id"),
    }
)
"""Messages fields that count_tokens takes too. Source: `MessageCountTokensParams` of anthropic 2.12.0."""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture of the request that is a file at the vendor; `number` is its place, counted from 1."""

    number: int
    file: StoredFile


@dataclass(frozen=True, slots=True)
class VisionRequest:
    """What the pipeline works on.

    `images` are in the order in which Claude reads them, `numbers` their places among all `picture_count` pictures of
    the request, counted from 1: some may be files at the vendor, or URLs that it fetches itself. `labels` are by place.
    """

    model: str
    body: MessageBody
    images: tuple[RawImage | RemoteImage, ...]
    numbers: tuple[int, ...]
    picture_count: int
    document_count: int
    labels: Mapping[int, str]
    max_tokens: int
    """0 where the request does not say."""
    other_models: frozenset[str] = frozenset()
    """Those of tools and fallbacks, which may answer too."""
    stream: bool = False
    detail: DetailLevel = "auto"
    max_image_tokens: int | None = None
    max_cost_usd: Decimal | None = None
    max_fetched_bytes: int = 0
    """Of all pictures by URL together."""
    bounded: bool = True
    """Whether an upper bound of its cost can be given."""
    billed_as: Usage = field(default_factory=dict[str, Json])
    """What the request says of its price, as `usage` will repeat it: speed, place of inference, cache writes."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sent on with the call."""
    query: str = ""
    """Sent on with the call, as it came."""
    owner: str = ""
    """Whose files it may name."""
    spenders: tuple[Spender, ...] = ()
    """Who is charged: the key, then the token made from it; nobody where it cannot cost anything."""
    endpoint: str = ""
    """Where it came in."""
    request_id: str = ""
    """By which this service knows it."""
    claim: Claim | None = None
    """Of the Idempotency-Key under which it came."""
    url_mode: UrlMode = "off"
    stored: tuple[StoredPicture, ...] = ()
    """The pictures that are files, once they have been looked up."""
    files: tuple[StoredFile, ...] = ()
    """Every file it names, pictures or not, once they have been looked up."""
    notices: tuple[Notice, ...] = ()
    """What the caller should know of how it was read."""
    steady: bool = False
    """Whether each picture is sized as if there were many, so that a growing conversation does not resize it later."""
    calls: int = 1
    """How often the vendor may be asked: 2 where an answer that cannot be read is given back once to be put right."""
    room: Room | None = None
    """The memory that its bytes take."""
    exact_sizes: bool = False
    """Whether the model has to see each picture as it is sent."""

    def without_bytes(self) -> "VisionRequest":
        """The same once it has been sent: what is left are facts."""
        return replace(self, body=MessageBody(()), images=())


@dataclass(frozen=True, slots=True)
class UnusableImage:
    """A picture that could not be read from the request; refused once its place is known."""

    error: ImageError
    name: str | None = None


Picture: TypeAlias = RawImage | RemoteImage | FileImage | UnusableImage
"""A picture as a request holds or names it."""


@dataclass(frozen=True, slots=True)
class Question:
    """The parts of a native request, read from whatever form it came in."""

    model: str
    max_tokens: int
    images: Sequence[Picture]
    prompt: str | None = None
    system: Json = None
    stop_sequences: Sequence[str] | None = None
    thinking: Mapping[str, Json] | None = None
    effort: str | None = None
    messages: msgspec.Raw | None = None
    labels: bool | None = None
    extra: JsonObject = field(default_factory=dict[str, msgspec.Raw])
    stream: bool = False
    notices: tuple[Notice, ...] = ()
    output_format: Mapping[str, object] | None = None
    """`output_config.format`, where the answer must be data."""
    exact_sizes: bool = False
    """Whether a picture that the vendor would scale down is to be refused by it."""
    calls: int = 1


def compose(
    question: Question, urls: UrlMode, max_image_bytes: int, *, counting: bool = False
) -> tuple[Lifted, Mapping[int, str]]:
    """The Messages body with its pictures lifted out, and the labels of those that have one, by their place.

    Pictures come before the prompt, as the vendor's guidance says, each behind its label where labels are on: by
    default where there are two or more. Numbers go on from the pictures of earlier turns, whose labels are unknown.
    `counting` leaves out what count_tokens would refuse.

    Raises:
        AppError: `no_image`, or `invalid_request` where `extra` repeats a field.
        ImageError: a picture in `messages` that cannot be used.
    """
    lifted = Lifted(urls, max_image_bytes, bounded=_is_bounded(question.extra), exact=question.exact_sizes)
    lifted.text(b"{", *_fields(question, counting=counting), b'"messages":[')
    if question.messages is not None:
        refuse_too_many(bytes(question.messages))
        if lift_messages(question.messages, lifted):
            lifted.text(b",")
    total = lifted.seen + len(question.images)
    if not total:
        raise AppError(
            ErrorCode.NO_IMAGE, "the request holds no picture", hint="send one as the form file `image` or in `images`"
        )
    lifted.text(b'{"role":"user","content":[')
    labels: dict[int, str] = {}
    for image in question.images:
        if question.labels if question.labels is not None else total > 1:
            label = labels[lifted.seen + 1] = f"Image {lifted.seen + 1}{_part_words(image)}"
            lifted.text(_text_block(f"{label}:"), b",")
        lifted.text(b'{"type":"image","source":')
        _add(image, lifted)
        lifted.text(lifted.image_end, b"},")
    lifted.text(_text_block(question.prompt or _default_prompt(len(question.images))), b"]}]}")
    return lifted, labels


def _part_words(image: Picture) -> str:
    if not isinstance(image, RawImage) or image.part is None:
        return ""
    return f" ({image.part}{f' of {image.name}' if image.name and isinstance(image.part, Page) else ''})"


def _add(image: Picture, to: Lifted) -> None:
    if isinstance(image, UnusableImage):
        raise image.error.about(to.seen + 1, image.name)
    if isinstance(image, FileImage):
        to.picture_by_file(image.file_id)
    elif isinstance(image, RemoteImage):
        to.picture_by_url(image.url, image.name)
    else:
        to.picture(image)


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


def from_messages(body: bytes, headers: Mapping[str, str], query: str, policy: RequestPolicy) -> VisionRequest:
    """A body of `/v1/messages` with its pictures lifted out; one without pictures stays the very bytes that came.

    Any `cache_control` makes it steady, for then a picture that changes is paid for again.

    Raises:
        AppError: `invalid_request` where this is no JSON object with an array of messages; `model_not_allowed`.
        ImageError: a picture that is not base64.
    """
    check_text(body)
    fields = decode_json(body, JsonObject, "the body must be a JSON object")
    model, max_tokens, stream = (_scalar(fields.get(name)) for name in ("model", "max_tokens", "stream"))
    refuse_other_models(model, fields, policy.models)
    lifted = Lifted("fetch" if policy.url_mode == "fetch" else "passthrough", policy.max_image_bytes)
    if may_hold_pictures(body):
        refuse_too_many(body)
        _lift_body(fields, lifted)
    touched = any(not isinstance(segment, bytes) for segment in lifted.segments)
    message_body = MessageBody(tuple(lifted.segments) if touched else (body,))
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
    )


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


def billing_hints(extra: JsonObject, body: MessageBody) -> Usage:
    """What the request says of its own price: `speed`, `inference_geo`, and whether it may write to the cache.

    The last is true where in doubt: an escaped letter could spell it.
    """
    hints: dict[str, Json] = {}
    for name in ("speed", "inference_geo"):
        if name in extra:
            hints[name] = decode_any(extra[name], f"extra.{name} must be JSON")
    if body.mentions(b'"cache_control"') or body.mentions(b"\\u00"):
        hints["cache_control"] = True
    return hints


class _Tool(msgspec.Struct):
    """A tool of a request, as far as it says who runs it."""

    type: str = "custom"


def _is_bounded(extra: JsonObject) -> bool:
    """Whether the fields of `extra` leave the cost foreseeable: no tool that the vendor runs, nothing unknown."""
    if not _BOUNDED_EXTRA.issuperset(extra):
        return False
    if "tools" not in extra:
        return True
    tools = decode_json(extra["tools"], list[_Tool], "extra.tools must be an array of tools")
    return all(tool.type == "custom" for tool in tools)


def _is_foreseeable(fields: JsonObject) -> bool:
    """The same of a whole Messages body, whose oddities are the vendor's to refuse."""
    try:
        return _is_bounded({name: value for name, value in fields.items() if name not in OWN_FIELDS})
    except AppError:
        return False


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
        "stream": question.stream or None,
        "system": question.system,
        "stop_sequences": question.stop_sequences,
        "thinking": question.thinking,
        **question.extra,
    }
    chosen = {"effort": question.effort, "format": question.output_format}
    if any(value is not None for value in chosen.values()):
        told = {name: value for name, value in chosen.items() if value is not None}
        own["output_config"] = {**output_config(question.extra), **told}
    return [
        msgspec.json.encode(name) + b":" + msgspec.json.encode(value) + b","
        for name, value in own.items()
        if value is not None and (name in _COUNTED or not counting)
    ]


def output_config(extra: JsonObject) -> JsonObject:
    """What `extra` says of the output.

    Raises:
        AppError: `invalid_request` where that is no object.
    """
    if "output_config" not in extra:
        return {}
    return decode_json(extra["output_config"], JsonObject, "extra.output_config must be an object")


def _text_block(text: str) -> bytes:
    return b'{"type":"text","text":' + msgspec.json.encode(text) + b"}"


def _default_prompt(images: int) -> str:
    return "Describe the images." if images > 1 else "Describe the image."
