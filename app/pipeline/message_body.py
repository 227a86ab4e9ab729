"""A Messages request as bytes with holes where its pictures stand: the one currency of the pipeline.

Everything but the `source` of an image block is kept as the bytes that came in, so that unknown fields, the order of
keys and the spelling of numbers survive, and so that megabytes of base64 are never parsed as JSON twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, cast

import msgspec
import pybase64

from app.domain import Json, RawImage
from app.errors import AppError, ErrorCode, ImageError

JsonObject: TypeAlias = dict[str, msgspec.Raw]
"""A JSON object whose values are still bytes."""

_Kind = TypeVar("_Kind")

_MAX_DEPTH = 32
_MAX_REASON_CHARS = 200


def decode_json(raw: bytes | msgspec.Raw, kind: type[_Kind], expected: str) -> _Kind:
    """The JSON as a value of that kind.

    Raises:
        AppError: `invalid_request`, saying what was `expected` and where it is not.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AppError(ErrorCode.INVALID_REQUEST, f"{expected}: {str(error)[:_MAX_REASON_CHARS]}") from None
    except RecursionError:
        raise AppError(ErrorCode.INVALID_REQUEST, f"{expected}: it is nested too deep") from None


def decode_any(raw: bytes | msgspec.Raw, expected: str) -> Json:
    """The JSON as plain values. Raises as `decode_json`."""
    return cast("Json", decode_json(raw, object, expected))


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of the source object of picture number `index`, counted from 0."""

    index: int


Segment: TypeAlias = bytes | Slot


@dataclass(frozen=True, slots=True)
class MessageBody:
    """Bytes and slots in the order of the wire."""

    segments: tuple[Segment, ...]

    @property
    def text_bytes(self) -> int:
        """The size of everything but the pictures."""
        return sum(len(segment) for segment in self.segments if isinstance(segment, bytes))

    def fill(self, sources: Sequence[bytes]) -> bytes:
        """The request, with the JSON of each picture's source in its slot."""
        return b"".join(sources[part.index] if isinstance(part, Slot) else part for part in self.segments)


class _Source(msgspec.Struct):
    """The source of an image block, as far as it says where the picture is."""

    type: str = ""
    media_type: str | None = None
    data: str | None = None


@dataclass(slots=True)
class Lifted:
    """Segments of JSON text and the pictures lifted out of them so far, in the order in which Claude reads them.

    With `keep_remote` pictures by URL or file id stay in the text, for the vendor to fetch, and are only counted.
    """

    keep_remote: bool = False
    segments: list[Segment] = field(default_factory=list[Segment])
    images: list[RawImage] = field(default_factory=list[RawImage])
    remote_images: int = 0

    def text(self, *parts: bytes) -> None:
        """Append JSON text."""
        self.segments.extend(parts)

    def picture(self, image: RawImage) -> None:
        """Append the slot of one more picture."""
        self.segments.append(Slot(len(self.images)))
        self.images.append(image)


def base64_source(media_type: str, data: bytes) -> bytes:
    """The JSON of an image source; base64 is ASCII and needs no escaping."""
    return b"".join(
        (b'{"type":"base64","media_type":"', media_type.encode(), b'","data":"', pybase64.b64encode(data), b'"}')
    )


def decode_base64(text: str) -> bytes:
    """The bytes of base64 text as people send it: with or without a `data:` prefix, line breaks and padding.

    Raises:
        ImageError: `invalid_base64`.
    """
    payload = text
    if text[:5].lower() == "data:":
        header, comma, payload = text.partition(",")
        if not comma or not header.lower().endswith(";base64"):
            raise ImageError(
                ErrorCode.INVALID_BASE64, "the data: URI is not base64", hint="send data:image/png;base64,AAAA..."
            )
    strict = _decode_strictly(payload)
    if strict is not None:
        return strict
    compact = "".join(payload.split()).rstrip("=")
    lenient = _decode_strictly(compact + "=" * (-len(compact) % 4))
    if lenient is None:
        raise ImageError(
            ErrorCode.INVALID_BASE64,
            f"{len(payload)} characters that are not base64",
            actual=len(payload),
            hint="use the standard alphabet (A-Z a-z 0-9 + /), without a URL or a file path",
        )
    return lenient


def _decode_strictly(text: str) -> bytes | None:
    """The bytes of base64 as the vendor takes it; None where it is anything else."""
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        return None


def lift_messages(raw: msgspec.Raw, into: Lifted) -> None:
    """Append an array of messages to `into`, every image source replaced by a slot, at any depth.

    Raises:
        AppError: `invalid_request` where this is not an array of messages.
        ImageError: `invalid_base64`, `url_images_off`, `file_not_found`, naming the picture.
    """
    messages = decode_json(raw, list[msgspec.Raw], "messages must be an array")
    for number, message in enumerate(messages):
        if number:
            into.text(b",")
        _lift_object(decode_json(message, JsonObject, f"messages.{number} must be an object"), into, 0)


def _lift_object(value: JsonObject, into: Lifted, depth: int) -> None:
    """Append one message or block, looking into its `content`."""
    if depth > _MAX_DEPTH:
        raise AppError(ErrorCode.INVALID_REQUEST, f"content is nested more than {_MAX_DEPTH} deep", limit=_MAX_DEPTH)
    is_image = "type" in value and bytes(value["type"]) == b'"image"'
    into.text(b"{")
    for number, (key, item) in enumerate(value.items()):
        into.text(b"," if number else b"", msgspec.json.encode(key), b":")
        if is_image and key == "source":
            _lift_source(item, into)
        elif key == "content" and _opens_with(item, b"["):
            _lift_array(item, into, depth)
        else:
            into.text(bytes(item))
    into.text(b"}")


def _lift_array(raw: msgspec.Raw, into: Lifted, depth: int) -> None:
    into.text(b"[")
    for number, item in enumerate(decode_json(raw, list[msgspec.Raw], "content must be an array")):
        into.text(b"," if number else b"")
        if _opens_with(item, b"{"):
            _lift_object(decode_json(item, JsonObject, "a block must be an object"), into, depth + 1)
        else:
            into.text(bytes(item))
    into.text(b"]")


def _lift_source(raw: msgspec.Raw, into: Lifted) -> None:
    """Append the slot of the picture that a source object holds, or the object itself where it is kept."""
    index = len(into.images) + into.remote_images + 1
    source = decode_json(raw, _Source, f"image {index}: its source must be an object")
    if source.type == "base64" and source.data is not None:
        into.picture(_image_of(raw, source.data, source.media_type, index))
    elif into.keep_remote:
        into.remote_images += 1
        into.text(bytes(raw))
    else:
        raise elsewhere(source.type).about(index, None)


def _image_of(raw: msgspec.Raw, data: str, media_type: str | None, index: int) -> RawImage:
    strict = _decode_strictly(data)
    if strict is not None:
        return RawImage(strict, "message", media_type=media_type, source_json=bytes(raw))
    try:
        return RawImage(decode_base64(data), "message", media_type=media_type)
    except ImageError as error:
        raise error.about(index, None) from error


def elsewhere(source_type: str) -> ImageError:
    """The refusal of a picture that does not come with the request: by URL, by file id, or in no known way."""
    if source_type == "url":
        return ImageError(
            ErrorCode.URL_IMAGES_OFF,
            "pictures by URL are switched off on this service",
            hint="download the picture and send its bytes",
        )
    if source_type == "file":
        return ImageError(ErrorCode.FILE_NOT_FOUND, "no such file", hint="send the bytes of the picture instead")
    return ImageError(
        ErrorCode.INVALID_REQUEST, 'the source must be {"type": "base64", "media_type": ..., "data": ...}'
    )


def _opens_with(raw: msgspec.Raw, bracket: bytes) -> bool:
    return memoryview(raw)[:1].tobytes() == bracket
