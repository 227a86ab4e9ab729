"""Pictures in a request: refused as the vendor refuses them, then measured down to their pixels.

In two steps, so that no pixel is decoded before every picture's declared sides are known to be within the limits:
`open_image` looks at bytes and headers, `measure_image` decodes. Both are slow and belong in a worker thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from typing import TypeAlias

import anyio.to_thread
import pybase64
from PIL import Image, ImageOps
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.domain import Size, VisionTier
from app.imaging.tokens import billed_tokens, seen_size
from app.sandbox.errors import SandboxError, dimensions_too_large, invalid
from app.sandbox.file_store import StoredFile
from app.sandbox.journal import ImageRecord
from app.sandbox.marks import Mark, marked_in, middle_of
from app.sandbox.prompt import MEDIA_TYPES, ImageBlock

MAX_BASE64_CHARS = 10_485_760
"""Longest base64 text of one picture: "10 MB", measured on the text and not on the file."""

MAX_SIDE_PX = 8_000
MANY_IMAGES = 20
MAX_SIDE_OF_MANY_PX = 2_000
"""Longest side, and longest side where the request has more than `MANY_IMAGES` image blocks.

Source of all four: https://platform.claude.com/docs/en/build-with-claude/vision, seen 2026-08-22.
"""

SIDE_OF_MANY = "max allowed size for many-image requests"
"""How the vendor calls `MAX_SIDE_OF_MANY_PX`."""

COLOURS = 3
SAMPLED_PX = 64
"""The sandbox's own choice: the main colours are those of at most 64 x 64 pixels, evenly spread."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_EXIF_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)
"""Values of the EXIF orientation that exchange width and height."""

ImageClass: TypeAlias = type[PngImageFile] | type[JpegImageFile] | type[GifImageFile] | type[WebPImageFile]

_DECODERS: dict[str, ImageClass] = {
    "image/png": PngImageFile,
    "image/jpeg": JpegImageFile,
    "image/gif": GifImageFile,
    "image/webp": WebPImageFile,
}
"""Pillow's own classes, used directly: `Image.open` would apply a limit of pixels that the vendor does not have."""


FindContent: TypeAlias = Callable[[str], StoredFile]
"""Gives the file of an id, or refuses it."""


@dataclass(frozen=True, slots=True)
class Colour:
    """A main colour and its share of the picture, in percent."""

    hex: str
    percent: int


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """A picture whose bytes and header are in order; `size` as stored."""

    block: ImageBlock
    data: bytes
    size: Size
    record: ImageRecord


@dataclass(frozen=True, slots=True)
class MeasuredImage:
    """A picture as the model gets it: `size` as stored, `upright` by its orientation, `seen` scaled to the tier.

    `marked` is what a question for boxes is answered with, and looked for only where there is one.
    """

    block: ImageBlock
    size: Size
    upright: Size
    seen: Size
    tokens: int
    size_bytes: int
    colours: tuple[Colour, ...]
    marked: Mark


async def examine_images(
    blocks: Sequence[ImageBlock],
    tier: VisionTier,
    find_content: FindContent,
    note: Callable[[ImageRecord], None],
    *,
    for_boxes: bool = False,
) -> tuple[MeasuredImage, ...]:
    """Every picture, measured in worker threads; `note` gets to know each as soon as its header is read.

    `for_boxes` has what is marked in each looked for.

    Raises:
        SandboxError: 400 or 404, one of them is not what the vendor takes.
    """
    opened: list[OpenedImage] = []
    for block in blocks:
        file = find_content(block.value) if block.source == "file" else None
        opened.append(await anyio.to_thread.run_sync(open_image, block, file))
        note(opened[-1].record)
    check_sides(opened)
    return tuple([await anyio.to_thread.run_sync(measure_image, image, tier, for_boxes) for image in opened])


async def record_upload(path: str, data: bytes) -> ImageRecord | None:
    """What the journal keeps of an uploaded picture, None where it is none; uploading it is allowed all the same."""
    media_type = _media_type(data)
    if media_type is None:
        return None
    try:
        size = await anyio.to_thread.run_sync(_declared_size, data, media_type)
    except SandboxError:
        return None
    return _record(path, data, media_type, size, chars=0)


def open_image(block: ImageBlock, file: StoredFile | None) -> OpenedImage:
    """The picture's bytes and declared size; `file` is what its file id stands for.

    Raises:
        SandboxError: 400, it cannot be had, is too long, is no base64, or is not what it is called.
    """
    if file is None:
        data = _decode_base64(block)
    else:
        data = _file_content(block, file)
        block = replace(block, media_type=file.mime_type)
    media_type = _media_type(data)
    if media_type is None:
        raise unprocessable()
    if media_type != block.media_type:
        raise invalid(
            f"{_prefix(block)}The image was specified using the {block.media_type} media type, "
            f"but the image appears to be a {media_type} image"
        )
    size = _declared_size(data, media_type)
    record = _record(block.path, data, media_type, size, chars=len(block.value) if file is None else 0)
    return OpenedImage(block, data, size, record)


def check_sides(images: Sequence[OpenedImage]) -> None:
    """Refuse sides over the limit, all of them at once.

    Raises:
        SandboxError: 400 with the paths of every picture that is too large.
    """
    check_longest_side(images, MAX_SIDE_PX, "max allowed size")
    if len(images) > MANY_IMAGES:
        check_longest_side(images, MAX_SIDE_OF_MANY_PX, SIDE_OF_MANY)


def check_longest_side(
    images: Sequence[OpenedImage] | Sequence[MeasuredImage], max_side_px: int, limit_name: str
) -> None:
    """Refuse sides over that limit, all of them at once.

    Raises:
        SandboxError: 400 with the paths of every picture that is too large.
    """
    over = [image.block for image in images if max(image.size) > max_side_px]
    if over:
        message = (
            f"{_prefix(over[0], '.data')}At least one of the image dimensions exceed {limit_name}: {max_side_px} pixels"
        )
        raise dimensions_too_large(message, max_side_px=max_side_px, paths=[block.path for block in over])


def check_base64_chars(block: ImageBlock, chars: int, max_chars: int, limit_name: str) -> None:
    """Refuse a picture whose base64 is longer than the limit.

    Raises:
        SandboxError: 400 with both numbers.
    """
    if chars > max_chars:
        raise invalid(f"{_prefix(block)}image exceeds {limit_name} maximum: {chars} bytes > {max_chars} bytes")


def base64_chars(size_bytes: int) -> int:
    """How long the base64 of that many bytes is."""
    return -(-size_bytes // 3) * 4


def measure_image(
    image: OpenedImage,
    tier: VisionTier,
    for_boxes: bool = False,  # noqa: FBT001, FBT002 - passed through `run_sync`
) -> MeasuredImage:
    """What the decoded picture is and costs on a model of that tier.

    Raises:
        SandboxError: 400, its pixels cannot be decoded, or it would be scaled down and asks not to be.
    """
    try:
        with _DECODERS[image.block.media_type](BytesIO(image.data)) as pixels:
            colours = _main_colours(pixels)
            turned = pixels.getexif().get(_EXIF_ORIENTATION) in _QUARTER_TURNS
            upright = image.size.transposed if turned else image.size
            seen = seen_size(upright, tier)
            marked = marked_in(ImageOps.exif_transpose(pixels), seen) if for_boxes else middle_of(seen)
    except Exception as error:  # Decoders raise whatever a broken file makes them stumble over.
        raise unprocessable() from error
    if image.block.oversized == "error" and seen != upright:
        where = f"{image.block.path}: " if image.block.source == "base64" else ""
        raise invalid(
            f"{where}image dimensions {upright} exceed the maximum image size of a model named on this "
            f"request and would be downsized to {seen}; scale the image to at most {seen} or set the image's "
            'oversized_image setting to "downsize"'
        )
    tokens = billed_tokens(upright, tier)
    return MeasuredImage(image.block, image.size, upright, seen, tokens, len(image.data), colours, marked)


def unprocessable() -> SandboxError:
    """400 for bytes that are no whole picture."""
    return invalid("Could not process image")


def _decode_base64(block: ImageBlock) -> bytes:
    if block.source == "url":
        raise invalid("Unable to download the file. Please verify the URL and try again.")
    if not block.value:
        raise invalid(f"{block.location}: image cannot be empty")
    check_base64_chars(block, len(block.value), MAX_BASE64_CHARS, "10 MB")
    try:
        return pybase64.b64decode(block.value, validate=True)
    except ValueError as error:
        raise invalid(f"{block.location}: invalid base64 data") from error


def _file_content(block: ImageBlock, file: StoredFile) -> bytes:
    """The bytes of the file.

    Whether the limit of bytes is on them or on their base64 is not known; on the base64 is stricter.
    """
    if file.mime_type not in MEDIA_TYPES:
        raise invalid(
            f"Invalid file type: file `{file.id}` is {file.mime_type}, an image block takes {', '.join(MEDIA_TYPES)}"
        )
    check_base64_chars(block, base64_chars(file.size_bytes), MAX_BASE64_CHARS, "10 MB")
    if not file.data:
        raise invalid("image cannot be empty")
    return file.data


def _prefix(block: ImageBlock, field: str = "") -> str:
    """What a refusal begins with: the vendor names the place only of what is in the request itself.

    Source: https://platform.claude.com/docs/en/build-with-claude/vision-coordinates ("oversized_image"), seen
    2026-08-22, and here taken to hold for every refusal.
    """
    return f"{block.location}{field}: " if block.source == "base64" else ""


def _record(path: str, data: bytes, media_type: str, size: Size, *, chars: int) -> ImageRecord:
    return ImageRecord(
        path=path,
        media_type=media_type,
        width=size.width_px,
        height=size.height_px,
        size_bytes=len(data),
        base64_chars=chars,
        sha256=sha256(data).hexdigest(),
    )


def _media_type(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    for signature, media_type in _SIGNATURES:
        if data.startswith(signature):
            return media_type
    return None


def _declared_size(data: bytes, media_type: str) -> Size:
    if media_type == "image/gif":
        # By hand, for Pillow applies its own limit of pixels already when it opens a GIF.
        return Size(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    try:
        with _DECODERS[media_type](BytesIO(data)) as image:
            return Size(*image.size)
    except Exception as error:  # As in `measure_image`.
        raise unprocessable() from error


def _main_colours(image: ImageFile) -> tuple[Colour, ...]:
    """At most `COLOURS` colours, the most frequent first; see-through pixels count as on white paper."""
    side = (min(image.width, SAMPLED_PX), min(image.height, SAMPLED_PX))
    nearest = Image.Resampling.NEAREST
    # Pillow's stub of `resize` names numpy, which is not installed.
    sample = image.resize(side, nearest).convert("RGBA")  # pyright: ignore[reportUnknownMemberType]
    paper = Image.new("RGBA", sample.size, "white")
    paper.alpha_composite(sample)
    indexed = paper.convert("RGB").quantize(COLOURS)
    palette = indexed.getpalette() or []
    counts = sorted(((count, index) for index, count in enumerate(indexed.histogram()) if count), reverse=True)
    return tuple(_colour(palette, index, count, sample.width * sample.height) for count, index in counts)


def _colour(palette: list[int], index: int, count: int, total: int) -> Colour:
    red, green, blue = palette[3 * index : 3 * index + 3]
    return Colour(f"#{red:02x}{green:02x}{blue:02x}", round(100 * count / total))
