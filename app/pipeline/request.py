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
from app.pipeline.crowded_json import JsonObject
from app.pipeline.json_text import decode_any, decode_json
from app.pipeline.lifting import Lifted, lift_messages, refuse_too_many
from app.pipeline.message_body import MessageBody
from app.pipeline.room import Room

OWN_FIELDS = frozenset({"model", "max_tokens", "messages", "system", "stream", "stop_sequences", "thinking"})
"""Messages fields that the native endpoints have under the same name; `extra` may not say them a second time."""

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
    digests: bool = True
    """Whether somebody will read the digests of its pictures."""

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
    lifted = Lifted(urls, max_image_bytes, bounded=is_bounded(question.extra), exact=question.exact_sizes)
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


def is_bounded(extra: JsonObject) -> bool:
    """Whether the fields of `extra` leave the cost foreseeable: no tool that the vendor runs, nothing unknown."""
    if not _BOUNDED_EXTRA.issuperset(extra):
        return False
    if "tools" not in extra:
        return True
    tools = decode_json(extra["tools"], list[_Tool], "extra.tools must be an array of tools")
    return all(tool.type == "custom" for tool in tools)


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
