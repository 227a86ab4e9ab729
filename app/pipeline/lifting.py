"""Pictures lifted out of messages: what stands between them stays bytes, what holds them leaves a slot.

What is walked through is spelt anew, without spaces and with each member once; `splicing` undoes that where it can.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from app.domain import Base64, Json, RawImage, RemoteImage, UrlMode
from app.errors import AppError, ErrorCode, ImageError
from app.pipeline.base64_text import decode_base64, decode_strictly
from app.pipeline.crowded_json import JsonObject, decode_crowded
from app.pipeline.cutting import WHOLE, Cut
from app.pipeline.json_text import decode_any, decode_json
from app.pipeline.message_body import FileSlot, Segment, Slot

_MAX_DEPTH = 32
_MAX_BLOCKS = 100_000
"""As many messages as the vendor takes; blocks are held to it too. Source: its documents, /api/messages, 2026-08."""

_MAX_BRACES = 5 * _MAX_BLOCKS
"""Braces are counted before anything is decoded; a block may hold a few objects of its own."""

_MARKS = re.compile(rb'"image"|"document"|"file_id"|\\u00')
"""JSON without any of these holds no picture and no file; the last is a letter of the others as an escape."""

_LONGEST_MARK, _LOOKED_THROUGH_BYTES = 10, 1_048_576
"""At a time: one search through megabytes lets no other thread run."""

EXACT = b',"transformations":{"oversized_image":"error"}'
"""Of an image block: the vendor shall refuse a picture rather than scale it down.

Source: https://platform.claude.com/docs/en/build-with-claude/vision-coordinates, seen 2026-08-22.
"""


class _Source(msgspec.Struct):
    """The source of an image block, as far as it says where the picture is."""

    type: str = ""
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None


@dataclass(slots=True)
class Lifted:
    """Segments of JSON text and the pictures lifted out of them so far, in the order in which Claude reads them.

    `urls` says what happens to pictures by URL. `bounded` turns false where a part is met whose tokens nobody can tell
    beforehand: a document, a picture that the vendor fetches. `numbers` are the places of `images` among all pictures,
    those that stay with the vendor included, counted from 1. `exact` has the vendor refuse a picture that it would
    scale down. `sources` are what the slots of messages stand for, in order, as `cut` has it.
    """

    urls: UrlMode
    max_image_bytes: int
    cut: Cut = WHOLE
    segments: list[Segment] = field(default_factory=list[Segment])
    sources: list[bytes] = field(default_factory=list[bytes])
    images: list[RawImage | RemoteImage] = field(default_factory=list[RawImage | RemoteImage])
    numbers: list[int] = field(default_factory=list[int])
    seen: int = 0
    documents: int = 0
    blocks: int = 0
    bounded: bool = True
    exact: bool = False

    @property
    def image_end(self) -> bytes:
        """What stands behind the source of an image block."""
        return EXACT if self.exact else b""

    def text(self, *parts: bytes) -> None:
        """Append JSON text."""
        self.segments.extend(parts)

    def picture(self, image: RawImage | RemoteImage, came: bytes | None = None) -> None:
        """Append the slot of one more picture; `came` is its source where it may travel as it came."""
        self.seen += 1
        self.segments.append(Slot(len(self.images), came))
        self.images.append(image)
        self.numbers.append(self.seen)

    def picture_by_url(self, url: str, name: str | None = None) -> None:
        """Append one more picture by URL.

        Raises:
            ImageError: `url_images_off`.
        """
        if self.urls == "fetch":
            self.picture(RemoteImage(url, name))
        elif self.urls == "passthrough":
            self.seen += 1
            self.bounded = False
            self.text(b'{"type":"url","url":', msgspec.json.encode(url), b"}")
        else:
            raise ImageError(
                ErrorCode.URL_IMAGES_OFF,
                "pictures by URL are switched off on this service",
                hint="send the picture's bytes, or let the operator set VISION_PROXY_URL_IMAGES=fetch",
            ).about(self.seen + 1, name)

    def picture_by_file(self, file_id: str) -> None:
        """Append the slot of one more picture, uploaded before."""
        self.seen += 1
        self.segments.append(FileSlot(file_id, self.seen))


def may_hold_pictures(text: bytes | msgspec.Raw) -> bool:
    """Whether JSON could hold a picture or a file; most does not, and need not be looked into."""
    view = memoryview(text)
    starts = range(0, len(view), _LOOKED_THROUGH_BYTES)
    return any(_MARKS.search(view, start, start + _LOOKED_THROUGH_BYTES + _LONGEST_MARK) for start in starts)


def image_too_large(actual: int, limit: int) -> ImageError:
    """The refusal of a picture of too many bytes."""
    return ImageError(
        ErrorCode.IMAGE_TOO_LARGE,
        f"more than {limit} bytes, the limit for one picture",
        actual=actual,
        limit=limit,
        hint="scale the picture down; the operator sets VISION_PROXY_MAX_IMAGE_BYTES",
    )


def lift_messages(raw: msgspec.Raw, into: Lifted) -> int:
    """Append the messages of an array to `into`, every image source replaced by a slot, at any depth; gives how many.

    Call `refuse_too_many` first.

    Raises:
        AppError: `invalid_request` where this is not an array of messages.
        ImageError: `invalid_base64`, `url_images_off`, `file_not_found`, naming the picture.
    """
    messages = decode_json(raw, list[JsonObject], "messages must be an array of objects")
    for number, message in enumerate(messages):
        if number:
            into.text(b",")
        _lift_object(message, into, 0)
    return len(messages)


def refuse_too_many(text: bytes) -> None:
    """Nothing, unless there are so many objects that taking them apart would hold up everybody else.

    Raises:
        AppError: `invalid_request`.
    """
    if text.count(b"{") > _MAX_BRACES:
        raise AppError(ErrorCode.INVALID_REQUEST, f"more than {_MAX_BLOCKS} messages and blocks", limit=_MAX_BLOCKS)


def _lift_object(value: JsonObject, into: Lifted, depth: int) -> None:
    """Append one message, block or source, looking into its `content`."""
    if depth > _MAX_DEPTH:
        raise AppError(ErrorCode.INVALID_REQUEST, f"content is nested more than {_MAX_DEPTH} deep", limit=_MAX_DEPTH)
    into.blocks += 1
    kind = decode_any(value["type"], "type must be a text") if "type" in value else None
    into.documents += kind == "document"
    into.bounded = into.bounded and kind not in ("document", "container_upload")
    into.text(b"{")
    for number, (key, item) in enumerate(value.items()):
        into.text(b"," if number else b"", msgspec.json.encode(key), b":")
        _lift_member(kind, key, item, into, depth)
    into.text(into.image_end if kind == "image" and "transformations" not in value else b"", b"}")


def _lift_member(kind: Json, key: str, item: msgspec.Raw, into: Lifted, depth: int) -> None:
    """Append the value of one member of an object of that `type`."""
    if kind == "image" and key == "source":
        _lift_source(item, into)
    elif kind == "document" and key == "source" and _opens_with(item, b"{"):
        _lift_document(item, into, depth)
    elif kind == "container_upload" and key == "file_id":
        into.sources.append(bytes(item))
        into.segments.append(FileSlot(decode_json(item, str, "file_id must be a text"), bare=True))
    elif key == "content" and _opens_with(item, b"["):
        _lift_array(item, into, depth)
    else:
        into.text(bytes(item))


def _lift_array(raw: msgspec.Raw, into: Lifted, depth: int) -> None:
    """Append an array of blocks; one that can hold no picture as the bytes it is."""
    if not may_hold_pictures(raw):
        into.text(bytes(raw))
        return
    items = _items(raw)
    if into.blocks + len(items) > _MAX_BLOCKS:
        raise AppError(ErrorCode.INVALID_REQUEST, f"more than {_MAX_BLOCKS} messages and blocks", limit=_MAX_BLOCKS)
    into.text(b"[")
    for number, item in enumerate(items):
        into.text(b"," if number else b"")
        if isinstance(item, dict):
            _lift_object(item, into, depth + 1)
        else:
            into.text(bytes(item))
    into.text(b"]")


def _items(raw: msgspec.Raw) -> Sequence[JsonObject | msgspec.Raw]:
    """The blocks of an array; what is no object stays as it is, for the vendor to judge."""
    try:
        return decode_crowded(raw, list[JsonObject])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        items = decode_json(raw, list[msgspec.Raw], "content must be an array")
    return [decode_json(item, JsonObject, "a block") if _opens_with(item, b"{") else item for item in items]


def _lift_document(raw: msgspec.Raw, into: Lifted, depth: int) -> None:
    """Append a document's source: a slot where it names a file, its blocks looked into where it holds some."""
    source = decode_json(raw, _Source, "the source of a document must be an object")
    if source.type == "file" and source.file_id is not None:
        into.sources.append(bytes(raw))
        into.segments.append(FileSlot(source.file_id))
    elif source.type == "content":
        _lift_object(decode_json(raw, JsonObject, "the source of a document must be an object"), into, depth + 1)
    else:
        into.text(bytes(raw))


def _lift_source(raw: msgspec.Raw, into: Lifted) -> None:
    """Append the slot of the picture that a source object holds or names."""
    number = into.seen + 1
    source = decode_json(raw, _Source, f"image {number}: its source must be an object")
    if source.type == "base64" and source.data is not None:
        into.sources.append(bytes(raw))
        _lift_base64(source.data, source.media_type, into)
    elif source.type == "url" and source.url is not None and into.urls != "passthrough":
        into.sources.append(bytes(raw))
        into.picture_by_url(source.url)
    elif source.type == "file" and source.file_id is not None:
        into.sources.append(bytes(raw))
        into.picture_by_file(source.file_id)
    else:  # of a kind that the vendor may know
        into.seen += 1
        into.bounded = False
        into.text(bytes(raw))


def _lift_base64(data: str, media_type: str | None, into: Lifted) -> None:
    """Append the slot of a picture in base64, which may have been cut out of the JSON before."""
    number = into.seen + 1
    payload = into.cut.take(data)
    chars = len(data if payload is None else payload)
    if chars // 4 * 3 > into.max_image_bytes + 2:
        raise image_too_large(chars // 4 * 3, into.max_image_bytes).about(number, None)
    if payload is not None:
        strict = decode_strictly(payload)
        if strict is not None:
            into.picture(RawImage(Base64(payload, strict), "message", media_type=media_type), into.sources[-1])
            return
        data = into.cut.decoded(payload)
    strict = decode_strictly(data)
    if strict is not None:
        into.picture(RawImage(strict, "message", media_type=media_type), into.sources[-1])
        return
    try:
        into.picture(RawImage(decode_base64(data), "message", media_type=media_type))
    except ImageError as error:
        raise error.about(number, None) from error


def _opens_with(raw: msgspec.Raw, bracket: bytes) -> bool:
    return memoryview(raw)[:1].tobytes() == bracket
