"""Pixels in, file bytes out, by the policy: lossless for text, high-quality JPEG for photographs.

Where the result is over the byte limit, a ladder of rungs takes quality first and pixels last, for text stays legible
at full size and low quality long after it is gone at half size.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO

from PIL import Image, ImageChops

from app.domain import MediaType

_MAX_COLOURS = 256
_FEW_GREYS = 16
_PHOTO_QUALITY = 90
_PNG_LEVEL = 3
_REPEATS, _RUNS = zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE
"""How deflate searches: for any repetition, or for runs of one byte alone."""

_QUICK, _MIDDLE, _THOROUGH = (0, 30), (1, 20), (2, 30)
"""WebP's method and quality, lossless, each two to five times as slow as the one before it."""

_WORTH_IT = ((_MIDDLE, 0.85), (_THOROUGH, 0.77))
"""What is not quick must be smaller than this share of the quick file: text mostly is by the first, grain in colour by
the second, a photograph on a page by neither."""

_STRIPS, _STRIP_PX = 6, 8
_LADDER_SCALES = (0.85, 0.7, 0.5)  # one more, and the search would ask for a seventh encode


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file and, in words, how it was made."""

    data: bytes
    media_type: MediaType
    how: str
    lossless: bool = False


@dataclass(frozen=True, slots=True)
class Rung:
    """One step down: an encoder, and the share of the target's sides that it is given."""

    encode: Callable[[Image.Image], Encoded]
    scale: float = 1.0
    lossless: bool = False


def encode_best(image: Image.Image, *, synthetic: bool) -> Encoded:
    """The picture (mode L or RGB) as the policy wants it where bytes do not matter."""
    if not synthetic:
        return _jpeg(_PHOTO_QUALITY, image)
    indexed = _with_palette(image)
    if indexed is not None:
        return min(_png(indexed, _REPEATS), _webp_lossless(image, *_MIDDLE), key=_size_bytes)
    if image.mode == "L":
        return _grey_png(image)
    return _webp_lossless(image, *webp_effort(image))


def webp_effort(image: Image.Image) -> tuple[int, int]:
    """The method and quality that a lossless WebP of that picture deserves, tried on a sample of it."""
    sample = _sample(image)
    quick_bytes = _size_bytes(_webp_lossless(sample, *_QUICK))
    for effort, share in _WORTH_IT:
        if _size_bytes(_webp_lossless(sample, *effort)) < share * quick_bytes:
            return effort
    return _QUICK


def ladder(*, synthetic: bool) -> tuple[Rung, ...]:
    """The rungs below `encode_best`, best first."""
    if synthetic:
        lossless = (Rung(lambda image: _webp_lossless(image, 4, 30), lossless=True),)
        qualities, encoder = (95, 90, 85, 75), _webp
    else:
        lossless = ()
        qualities, encoder = (85, 80, 75), _jpeg
    return (
        *lossless,
        *(Rung(partial(encoder, quality)) for quality in qualities),
        *(Rung(partial(encoder, qualities[-1]), scale) for scale in _LADDER_SCALES),
    )


def _jpeg(quality: int, image: Image.Image) -> Encoded:
    data = _saved(image, "JPEG", quality=quality, subsampling=0)
    return Encoded(data, "image/jpeg", f"encoded image/jpeg quality {quality}")


def _webp(quality: int, image: Image.Image) -> Encoded:
    data = _saved(image, "WEBP", method=4, quality=quality)
    return Encoded(data, "image/webp", f"encoded image/webp quality {quality}")


def _webp_lossless(image: Image.Image, method: int, quality: int) -> Encoded:
    data = _saved(image, "WEBP", lossless=True, method=method, quality=quality)
    return Encoded(data, "image/webp", "encoded image/webp lossless", lossless=True)


def _png(image: Image.Image, search: int) -> Encoded:
    data = _saved(image, "PNG", compress_level=_PNG_LEVEL, compress_type=search)
    return Encoded(data, "image/png", "encoded image/png lossless", lossless=True)


def _grey_png(image: Image.Image) -> Encoded:
    """A grey PNG, searched for in the way that is best on a sample.

    On scans, where nothing repeats, runs in plain rows give a smaller file than any other way in a third of the time;
    WebP is 2 to 10 % smaller still but takes ten times as long (measured, `docs/benchmarks.md`). On an untouched
    screen runs are three times as large.
    """
    ways = (_plain_png, partial(_png, search=_RUNS), partial(_png, search=_REPEATS))
    sample = _sample(image)
    return min(ways, key=lambda way: _size_bytes(way(sample)))(image)


def _plain_png(grey: Image.Image) -> Encoded:
    """A PNG whose rows are not filtered, which Pillow cannot be told; its search for filters takes twice the rest."""
    rows = Image.new("L", (grey.width + 1, grey.height))  # the first column is the filter of each row: none
    rows.paste(grey, (1, 0))
    deflate = zlib.compressobj(_PNG_LEVEL, strategy=zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", *grey.size, 8, 0, 0, 0, 0)  # 8 bits, grey
    body = deflate.compress(rows.tobytes()) + deflate.flush()
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return Encoded(b"\x89PNG\r\n\x1a\n" + chunks, "image/png", "encoded image/png lossless", lossless=True)


def _chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk: length, name, content, checksum. Source: PNG specification, 5.3, https://www.w3.org/TR/png-3/."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _sample(image: Image.Image) -> Image.Image:
    """Strips of half the width from all over the picture, one below the other; the picture itself where it is low."""
    height_px, half_px = _STRIPS * _STRIP_PX, (image.width + 1) // 2
    if image.height <= height_px:
        return image
    sample = Image.new(image.mode, (half_px, height_px))
    for strip in range(_STRIPS):
        left = (image.width - half_px) * (strip % 2)
        top = (image.height - _STRIP_PX) * strip // (_STRIPS - 1)
        sample.paste(image.crop((left, top, left + half_px, top + _STRIP_PX)), (0, strip * _STRIP_PX))
    return sample


def _size_bytes(encoded: Encoded) -> int:
    return len(encoded.data)


def _with_palette(image: Image.Image) -> Image.Image | None:
    """The same pixels as indices into a palette; None where that would change one of them or gain nothing."""
    colours = image.getcolors(_FEW_GREYS if image.mode == "L" else _MAX_COLOURS)
    if colours is None:
        return None
    rgb = image.convert("RGB")
    indexed = rgb.quantize(len(colours), method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return indexed if ImageChops.difference(indexed.convert("RGB"), rgb).getbbox() is None else None


def _saved(image: Image.Image, encoder: str, **options: int | bool) -> bytes:
    """The file, with nothing in it but pixels: no comment, profile or EXIF that the decoder left in `info`."""
    image.info = {}
    buffer = BytesIO()
    image.save(buffer, encoder, **options)
    return buffer.getvalue()
