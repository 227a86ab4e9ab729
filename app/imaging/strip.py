"""Metadata out of a file without touching its pixels: EXIF, GPS, XMP, comments, thumbnails, anything after the end.

Each walker gives back the kept bytes, or None where the structure is not what the format promises; such a file is
then decoded and encoded anew instead.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from app.imaging.formats import GIF, JPEG, PNG, WEBP, Format

_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"sRGB", b"iCCP", b"cICP"})
_WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"})
_WEBP_METADATA_FLAGS = 0x08 | 0x04
_JPEG_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_COMMENT, _JPEG_START_OF_SCAN, _JPEG_END = 0xFE, 0xDA, 0xD9
_JPEG_JFIF, _JPEG_ADOBE, _JPEG_LAST_APPLICATION = 0xE0, 0xEE, 0xEF
_JPEG_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
"""Markers that no segment has; decoders pass over them, each in its own way."""
_MOST_PARTS = 100_000
"""Of one file, a tenth of a second's worth; honest ones have some thousands."""

_ICC_ANY = b"ICC_PROFILE\0"
_ICC_FIRST = _ICC_ANY + b"\1"
_STANDARD_SRGB = b"sRGB IEC61966-2"  # not "sRGB" alone: there is a linear sRGB that is not the same at all
_GIF_EXTENSION, _GIF_GRAPHIC_CONTROL, _GIF_IMAGE, _GIF_TRAILER = 0x21, 0xF9, 0x2C, 0x3B


def strip_metadata(data: bytes, found: Format) -> bytes | None:
    """The file without metadata, its pixels bit for bit the same; the very same object where there is none.

    None where the file is cut short, malformed, or divided so finely that going through it would take long.
    """
    try:
        kept = b"".join(_WALKERS[found](data))
    except (IndexError, ValueError):
        return None
    return data if len(kept) == len(data) else kept


class JpegWalk(NamedTuple):
    """What a walk through the segments of a whole JPEG finds.

    `kept` are the spans that bear on the pixels, one behind the other; `scans` counts those of the first picture.
    """

    kept: tuple[tuple[int, int], ...]
    scans: int

    @property
    def kept_bytes(self) -> int:
        """How long the file is without everything else."""
        return sum(end - begin for begin, end in self.kept)


def walk_jpeg(data: bytes) -> JpegWalk | None:
    """What stands in a JPEG; None where it is cut short, malformed, or divided too finely."""
    try:
        return _walk_jpeg(data)
    except (IndexError, ValueError):
        return None


def jpeg_end(data: bytes) -> int:
    """Where the first picture of a JPEG file ends; the length of the file where that cannot be told."""
    at = 2
    try:
        for _ in range(_MOST_PARTS):
            marker = _expect(data, at, 0xFF)
            if marker == _JPEG_END:
                return at + 2
            if marker == 0xFF:  # noqa: PLR2004 - a fill byte before the marker
                at += 1
                continue
            at += 2 + _number(data, at + 2, 2, "big")
            if marker == _JPEG_START_OF_SCAN:
                following = _JPEG_NEXT_MARKER.search(data, at)
                at = len(data) if following is None else following.start()
    except (IndexError, ValueError):
        pass
    return len(data)


def _jpeg(data: bytes) -> Iterator[bytes]:
    """Every segment but comments and the application segments that do not bear on colour; ends at the end marker."""
    kept = _walk_jpeg(data).kept
    yield from (data[begin:end] for begin, end in kept) if kept != ((0, len(data)),) else (data,)


def _walk_jpeg(data: bytes) -> JpegWalk:
    kept = [(0, 2)]
    at, scans, keeps_profile = 2, 0, False
    for _ in range(_MOST_PARTS):
        marker = _expect(data, at, 0xFF)
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte before the marker
            at += 1
            continue
        if marker == _JPEG_END:
            _keep(kept, at, at + 2)
            return JpegWalk(tuple(kept), scans)
        end = at + 2 + _number(data, at + 2, 2, "big")
        if end > len(data) or marker in _JPEG_WITHOUT_LENGTH:
            raise ValueError
        payload = data[at + 4 : end]
        if payload.startswith(_ICC_FIRST):
            keeps_profile = _STANDARD_SRGB not in payload  # its further segments go, or stay, with the first
        if keeps_profile if payload.startswith(_ICC_ANY) else _jpeg_keeps(marker, payload):
            _keep(kept, at, end)
        at = end
        if marker == _JPEG_START_OF_SCAN:
            scans += 1
            following = _JPEG_NEXT_MARKER.search(data, end)
            if following is None:
                raise ValueError
            at = following.start()
            _keep(kept, end, at)
    raise ValueError


def _keep(kept: list[tuple[int, int]], begin: int, end: int) -> None:
    """Add a span, or lengthen the last where it goes on."""
    if kept[-1][1] == begin:
        kept[-1] = kept[-1][0], end
    else:
        kept.append((begin, end))


def _jpeg_keeps(marker: int, payload: bytes) -> bool:
    if marker == _JPEG_COMMENT:
        return False
    if marker == _JPEG_JFIF:
        return payload.startswith(b"JFIF\0")
    if marker == _JPEG_ADOBE:
        return payload.startswith(b"Adobe")
    return not _JPEG_JFIF < marker <= _JPEG_LAST_APPLICATION


def _png(data: bytes) -> Iterator[bytes]:
    """The chunks that bear on the pixels, their checksums verified; ends at IEND. There must be pixels."""
    yield data[:8]
    at, has_pixels = 8, False
    for _ in range(_MOST_PARTS):
        end = at + 12 + _number(data, at, 4, "big")
        chunk = data[at:end]
        if len(chunk) != end - at or zlib.crc32(memoryview(chunk)[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise ValueError
        if chunk[4:8] in _PNG_KEPT:
            yield chunk
        has_pixels = has_pixels or chunk[4:8] == b"IDAT"
        if chunk[4:8] == b"IEND":
            if not has_pixels:
                raise ValueError
            return
        at = end
    raise ValueError


def _webp(data: bytes) -> Iterator[bytes]:
    """The file without its EXIF and XMP chunks, the flags that announce them cleared, the length set right."""
    length = 8 + _number(data, 4, 4, "little")
    if length > len(data):
        raise ValueError
    kept = list(_webp_chunks(data, length))
    yield b"RIFF" + (4 + sum(map(len, kept))).to_bytes(4, "little") + b"WEBP"
    yield from kept


def _webp_chunks(data: bytes, length: int) -> Iterator[bytes]:
    at = 12
    for _ in range(_MOST_PARTS):
        if at + 8 > length:
            return
        size = _number(data, at + 4, 4, "little")
        end = at + 8 + size + size % 2
        if end > length + length % 2:
            raise ValueError
        name = data[at : at + 4]
        if name == b"VP8X":
            yield data[at : at + 8] + bytes([data[at + 8] & ~_WEBP_METADATA_FLAGS]) + data[at + 9 : end]
        elif name in _WEBP_KEPT:
            yield data[at:end]
        at = end
    raise ValueError


def _gif(data: bytes) -> Iterator[bytes]:
    """The header, the picture with its graphic control, the trailer: no comments, no application data."""
    at = 13 + _colour_table_bytes(data[10])
    yield data[:at]
    while True:
        kind = data[at]
        if kind == _GIF_TRAILER:
            yield data[at : at + 1]
            return
        if kind == _GIF_EXTENSION:
            end = _gif_blocks_end(data, at + 2)
            if data[at + 1] == _GIF_GRAPHIC_CONTROL:
                yield data[at:end]
        elif kind == _GIF_IMAGE:
            end = _gif_blocks_end(data, at + 11 + _colour_table_bytes(data[at + 9]))
            yield data[at:end]
        else:
            raise ValueError
        at = end


def _gif_blocks_end(data: bytes, at: int) -> int:
    """Where a chain of sub-blocks that begins at `at` ends, its empty last block included."""
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _colour_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _expect(data: bytes, at: int, value: int) -> int:
    """The byte after `value` at `at`.

    Raises:
        ValueError: something else stands there.
        IndexError: the file ends before.
    """
    if data[at] != value:
        raise ValueError
    return data[at + 1]


def _number(data: bytes, at: int, size: int, order: str) -> int:
    raw = data[at : at + size]
    if len(raw) != size:
        raise IndexError
    return int.from_bytes(raw, "big" if order == "big" else "little")


_WALKERS: dict[Format, Callable[[bytes], Iterator[bytes]]] = {JPEG: _jpeg, PNG: _png, WEBP: _webp, GIF: _gif}
