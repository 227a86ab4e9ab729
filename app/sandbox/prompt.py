"""The prompt of a request as one flat sequence of parts, in the vendor's order: tools, system, messages.

Here each block is checked for its shape; what the bytes of a picture hold is the business of `app.sandbox.images`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

import msgspec

from app.domain import Json
from app.sandbox.errors import invalid
from app.sandbox.narrowing import as_choice, as_list, as_object, as_string, refuse_others, required

Lifetime: TypeAlias = Literal["5m", "1h"]
"""How long a cached prefix is kept."""

Oversized: TypeAlias = Literal["downsize", "error"]
"""What becomes of a picture that the model would see smaller than it was sent."""

MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")

MAX_MESSAGES = 100_000
"""Source: https://platform.claude.com/docs/en/api/messages, seen 2026-08-22."""

MAX_BREAKPOINTS = 4
"""Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching, seen 2026-08-22."""

_IMAGE_FIELDS = ("type", "source", "cache_control", "transformations")
_SOURCE_FIELDS = {
    "base64": ("type", "media_type", "data"),
    "url": ("type", "url"),
    "file": ("type", "file_id"),
}


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """One picture of the request.

    `path` is its position in the form `messages.0.content.1.content.0`, `location` the same in the form that the
    vendor's validation errors begin with, which names the kinds of blocks too. `value` is base64, a URL or a file id;
    `media_type` is empty until a picture by URL or file id was had.
    """

    path: str
    location: str
    source: str
    value: str
    media_type: str
    oversized: Oversized


@dataclass(frozen=True, slots=True)
class Part:
    """One block, tool or system text. `lifetime` is set where a cached prefix ends; `text` is what a person wrote."""

    path: str
    canonical: Json
    text: str = ""
    counted_bytes: int = 0
    lifetime: Lifetime | None = None
    image: ImageBlock | None = None
    is_document: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block stands: its path, its location (see `ImageBlock`) and whether pictures are allowed there."""

    path: str
    location: str
    images_allowed: bool

    def inside(self, kind: str, index: int) -> "Place":
        """The place of a block within the content of this one, which is of that kind."""
        return Place(f"{self.path}.content.{index}", f"{self.location}.{kind}.content.{index}", self.images_allowed)


def read_parts(body: dict[str, Json], *, prefill_allowed: bool) -> tuple[Part, ...]:
    """Every part of the prompt in order.

    Raises:
        SandboxError: 400, something is not shaped as a Messages request is.
    """
    parts = [
        *_read_tools(body.get("tools")),
        *_read_system(body.get("system")),
        *_read_messages(required(body, "messages"), prefill_allowed=prefill_allowed),
    ]
    automatic = _read_lifetime(body, "")
    breakpoints = sum(part.lifetime is not None for part in parts) + (automatic is not None)
    if breakpoints > MAX_BREAKPOINTS:
        raise invalid(f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {breakpoints}.")
    if automatic is not None and parts[-1].lifetime is None:
        parts[-1] = replace(parts[-1], lifetime=automatic)
    return tuple(parts)


def _read_tools(tools: Json) -> Iterator[Part]:
    for index, value in enumerate(as_list(tools, "tools") if tools is not None else []):
        path = f"tools.{index}"
        tool = as_object(value, path)
        yield _opaque(path, tool)


def _read_system(system: Json) -> Iterator[Part]:
    if system is None:
        return
    if isinstance(system, str):
        if system:
            yield _text("system.0", {"type": "text", "text": system})
        return
    for index, value in enumerate(as_list(system, "system")):
        path = f"system.{index}"
        block = as_object(value, path)
        as_choice(required(block, "type", f"{path}."), f"{path}.type", ("text",))
        yield _text(path, block)


def _read_messages(value: Json, *, prefill_allowed: bool) -> Iterator[Part]:
    messages = [as_object(message, f"messages.{i}") for i, message in enumerate(as_list(value, "messages"))]
    if not messages:
        raise invalid("messages: at least one message is required")
    if len(messages) > MAX_MESSAGES:
        raise invalid(f"messages: at most {MAX_MESSAGES} messages are allowed, not {len(messages)}")
    roles = [_read_role(message, f"messages.{i}") for i, message in enumerate(messages)]
    if roles[0] != "user":
        raise invalid('messages: first message must use the "user" role')
    if roles[-1] == "assistant" and not prefill_allowed:
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    for index, (message, role) in enumerate(zip(messages, roles, strict=True)):
        may_be_empty = role == "assistant" and index == len(messages) - 1
        yield from _read_message(message, f"messages.{index}", role, may_be_empty=may_be_empty)


def _read_role(message: dict[str, Json], path: str) -> str:
    refuse_others(message, ("role", "content"), f"{path}.")
    return as_choice(required(message, "role", f"{path}."), f"{path}.role", ("user", "assistant"))


def _read_message(message: dict[str, Json], path: str, role: str, *, may_be_empty: bool) -> Iterator[Part]:
    content = required(message, "content", f"{path}.")
    if content in ("", []) and not may_be_empty:
        raise invalid(
            f"{path}: all messages must have non-empty content except for the optional final assistant message"
        )
    if isinstance(content, str):
        yield _text(f"{path}.content.0", {"type": "text", "text": content}, may_be_empty=may_be_empty)
        return
    for index, value in enumerate(as_list(content, f"{path}.content")):
        place = Place(f"{path}.content.{index}", f"{path}.content.{index}", images_allowed=role == "user")
        yield from _read_block(as_object(value, place.path), place)


def _read_block(block: dict[str, Json], place: Place) -> Iterator[Part]:
    kind = as_string(required(block, "type", f"{place.path}."), f"{place.path}.type")
    if kind == "text":
        yield _text(place.path, block)
    elif kind == "image":
        yield _image(block, place)
    elif kind == "tool_result":
        yield from _read_tool_result(block, place)
    elif kind == "document":
        yield _document(block, place)
    else:
        yield _opaque(place.path, block)


def _read_tool_result(block: dict[str, Json], place: Place) -> Iterator[Part]:
    as_string(
        required(block, "tool_use_id", f"{place.location}.tool_result."), f"{place.location}.tool_result.tool_use_id"
    )
    content = block.get("content")
    if isinstance(content, list):
        for index, value in enumerate(content):
            inner = place.inside("tool_result", index)
            yield from _read_block(as_object(value, inner.path), inner)
        yield _opaque(place.path, {name: value for name, value in block.items() if name != "content"})
    else:
        yield _opaque(place.path, block)


def _document(block: dict[str, Json], place: Place) -> Part:
    source = as_object(required(block, "source", f"{place.location}.document."), f"{place.location}.document.source")
    if source.get("type") in ("base64", "url", "file"):
        return Part(
            place.path,
            _canonical(block),
            lifetime=_read_lifetime(block, f"{place.location}.document."),
            is_document=True,
        )
    return _opaque(place.path, block)


def _text(path: str, block: dict[str, Json], *, may_be_empty: bool = False) -> Part:
    text = as_string(required(block, "text", f"{path}.text."), f"{path}.text.text")
    if not text and not may_be_empty:
        raise invalid(f"{path.partition('.')[0]}: text content blocks must be non-empty")
    return Part(
        path,
        _canonical(block),
        text=text,
        counted_bytes=len(text.encode()),
        lifetime=_read_lifetime(block, f"{path}.text."),
    )


def _opaque(path: str, block: dict[str, Json]) -> Part:
    canonical = _canonical(block)
    return Part(
        path,
        canonical,
        counted_bytes=len(msgspec.json.encode(canonical)),
        lifetime=_read_lifetime(block, f"{path}."),
    )


def _image(block: dict[str, Json], place: Place) -> Part:
    if not place.images_allowed:
        raise invalid(f"{place.path}: image blocks are only permitted in user messages")
    where = f"{place.location}.image"
    refuse_others(block, _IMAGE_FIELDS, f"{where}.")
    source = as_object(required(block, "source", f"{where}."), f"{where}.source")
    kind = as_string(required(source, "type", f"{where}.source."), f"{where}.source.type")
    if kind not in _SOURCE_FIELDS:
        raise invalid(
            f"{where}.source: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
            "'base64', 'url', 'file'"
        )
    fields = _SOURCE_FIELDS[kind]
    refuse_others(source, fields, f"{where}.source.{kind}.")
    values = {
        name: as_string(required(source, name, f"{where}.source.{kind}."), f"{where}.source.{kind}.{name}")
        for name in fields
    }
    if kind == "base64":
        as_choice(values["media_type"], f"{where}.source.base64.media_type", MEDIA_TYPES)
    image = ImageBlock(
        path=place.path,
        location=f"{where}.source.{kind}",
        source=kind,
        value=values[fields[-1]],
        media_type=values.get("media_type", ""),
        oversized=_read_oversized(block, where),
    )
    return Part(place.path, _canonical(block), lifetime=_read_lifetime(block, f"{where}."), image=image)


def _read_oversized(block: dict[str, Json], where: str) -> Oversized:
    given = block.get("transformations")
    if given is None:
        return "downsize"
    where = f"{where}.transformations"
    transformations = as_object(given, where)
    refuse_others(transformations, ("oversized_image",), f"{where}.")
    chosen = transformations.get("oversized_image", "downsize")
    return cast("Oversized", as_choice(chosen, f"{where}.oversized_image", ("downsize", "error")))


def _read_lifetime(block: dict[str, Json], where: str) -> Lifetime | None:
    given = block.get("cache_control")
    if given is None:
        return None
    where = f"{where}cache_control"
    control = as_object(given, where)
    refuse_others(control, ("type", "ttl"), f"{where}.")
    as_choice(required(control, "type", f"{where}."), f"{where}.type", ("ephemeral",))
    return cast("Lifetime", as_choice(control.get("ttl", "5m"), f"{where}.ttl", ("5m", "1h")))


def _canonical(block: dict[str, Json]) -> Json:
    """The block without its breakpoint, which is no part of the prefix that it ends."""
    return {name: value for name, value in block.items() if name != "cache_control"}
