"""What must be known of a file before Pillow opens it, because opening it would already cost too much."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from app.domain import Size
from app.imaging.formats import CUR, GIF, ICO, TIFF, Format

_PNG_SIGNATURE = b"\x89PNG"
_MOST_PARTS = 100_000
"""Chunks or segments that are looked at; honest files have some thousands."""


def declared_sizes(data: bytes, found: Format) -> Iterator[Size]:
    """The sizes for which Pillow takes memory while it opens the file: the pictures of an icon, the canvas of a GIF.

    Source: https://learn.microsoft.com/en-us/previous-versions/ms997538(v=msdn.10), "Icons"; GIF89a, section 18.
    """
    if found == GIF:
        yield Size(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    if found not in {ICO, CUR}:
        return
    for entry in range(int.from_bytes(data[4:6], "little")):
        at = 6 + 16 * entry + 12
        offset = int.from_bytes(data[at : at + 4], "little")
        header = data[offset : offset + 24]
        if header.startswith(_PNG_SIGNATURE):
            yield Size(int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big"))
        else:  # a bitmap whose height counts its mask too
            yield Size(int.from_bytes(header[4:8], "little"), int.from_bytes(header[8:12], "little") // 2)


def png_exif(data: bytes) -> bytes:
    """The EXIF of a PNG wherever it stands, empty where it has none."""
    found = png_chunk(data, b"eXIf")
    return b"" if found is None else b"Exif\x00\x00" + found


def png_chunk(data: bytes, name: bytes) -> bytes | None:
    """What the first chunk of that name holds, None where there is none; found by hopping from chunk to chunk."""
    at = 8
    for _ in range(_MOST_PARTS):
        if at + 12 > len(data):
            break
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == name:
            return data[at + 8 : end]
        at = end + 4
    return None


class JpegCoding(NamedTuple):
    """How the pixels of a JPEG are coded.

    `frame` is the second byte of the frame header's marker: 0xC0 baseline, 0xC2 progressive, and so on. `one_scan`
    says whether the first scan holds every component, so that there need be no other. `samples_a_pixel` counts those
    of all components: 3 for colour, 1.5 where it is subsampled both ways.
    """

    frame: int
    one_scan: bool
    samples_a_pixel: float = 4


def jpeg_coding(data: bytes) -> JpegCoding:
    """What the headers of a JPEG say; frame 0 where they are broken.

    Source: ITU-T T.81, B.2.2 and B.2.3.
    """
    at, frame, factors = 2, 0, b""
    for _ in range(_MOST_PARTS):
        if at + 10 > len(data) or data[at] != 0xFF:  # noqa: PLR2004 - every marker begins so
            break
        marker = data[at + 1]
        if marker == 0xDA:  # noqa: PLR2004 - start of scan
            return JpegCoding(frame, data[at + 4] == len(factors), _samples_a_pixel(factors))
        if marker in range(0xC0, 0xD0) and marker not in {0xC4, 0xC8, 0xCC}:
            frame, factors = marker, data[at + 11 : at + 11 + 3 * data[at + 9] : 3]
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")  # noqa: PLR2004 - fill byte
    return JpegCoding(frame, one_scan=False)


def _samples_a_pixel(factors: bytes) -> float:
    """How many for one pixel, from the sampling factors of each component: two numbers of four bits."""
    pairs = [(factor >> 4, factor & 15) for factor in factors]
    widest, highest = (max((pair[axis] for pair in pairs), default=1) or 1 for axis in (0, 1))
    return sum(across * down for across, down in pairs) / (widest * highest)


def count_pages(data: bytes, found: Format, most: int) -> int | None:
    """How many directories the chain of a TIFF has, `most` + 1 at the most; None for other formats.

    Pillow counts them in time that grows with the square. A chain that loops ends where it closes.
    Source: TIFF 6.0, section 2; BigTIFF, https://www.awaresystems.be/imaging/tiff/bigtiff.html.
    """
    return sum(1 for _ in islice(_directories(data), most + 1)) if found == TIFF else None


def _directories(data: bytes) -> Iterator[int]:
    """The offset of each directory."""
    order = "little" if data[:2] == b"II" else "big"
    big = data[2:4] in {b"+\x00", b"\x00+"}
    count_bytes, entry_bytes, offset_bytes = (8, 20, 8) if big else (2, 12, 4)

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little" if order == "little" else "big")

    seen: set[int] = set()
    offset = number(8 if big else 4, offset_bytes)
    while 0 < offset < len(data) and offset not in seen:
        seen.add(offset)
        yield offset
        entries = number(offset, count_bytes)
        offset = number(offset + count_bytes + entries * entry_bytes, offset_bytes)
