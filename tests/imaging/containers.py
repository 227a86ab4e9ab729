"""What is in a file besides its picture, by a reader that shares nothing with the code that writes and strips files."""

from collections.abc import Iterator

_JPEG_PICTURE = {0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD}
_PNG_PICTURE = {"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "sRGB", "iCCP", "cICP"}
_WEBP_PICTURE = {"VP8 ", "VP8L", "VP8X", "ALPH", "ICCP"}


def foreign_parts(data: bytes) -> list[str]:
    """The names of all parts of a JPEG, PNG, GIF or WebP that bear neither on its pixels nor on their colour."""
    if data.startswith(b"\xff\xd8"):
        return list(_in_jpeg(data))
    if data.startswith(b"\x89PNG"):
        return list(_in_png(data))
    return list(_in_gif(data) if data.startswith(b"GIF8") else _in_webp(data))


def _in_jpeg(data: bytes) -> Iterator[str]:
    at = 2
    while data[at + 1] != 0xD9:
        if data[at] != 0xFF:
            yield f"stray bytes at {at}"
            return
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        payload = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDA:
            while data[at] != 0xFF or data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7:
                at += 1
        elif marker not in _JPEG_PICTURE and not _bears_on_colour(marker, payload):
            yield f"marker {marker:#x} {payload[:12]!r}"
    if len(data) > at + 2:
        yield f"{len(data) - at - 2} bytes after the end"


def _bears_on_colour(marker: int, payload: bytes) -> bool:
    if marker == 0xE0:
        return payload.startswith(b"JFIF\0") and payload[12:14] == b"\0\0"  # without a thumbnail
    return (marker == 0xE2 and payload.startswith(b"ICC_PROFILE\0")) or (marker == 0xEE and payload[:5] == b"Adobe")


def _in_png(data: bytes) -> Iterator[str]:
    at, name = 8, ""
    while name != "IEND":
        name = data[at + 4 : at + 8].decode("latin-1")
        at += 12 + int.from_bytes(data[at : at + 4])
        if name not in _PNG_PICTURE:
            yield f"chunk {name}"
    if len(data) > at:
        yield f"{len(data) - at} bytes after the end"


def _in_webp(data: bytes) -> Iterator[str]:
    if int.from_bytes(data[4:8], "little") + 8 != len(data):
        yield "a length that is not the file's"
        return
    at = 12
    while at < len(data):
        name = data[at : at + 4].decode("latin-1")
        if name not in _WEBP_PICTURE:
            yield f"chunk {name!r}"
        if name == "VP8X" and data[at + 8] & 0b1100:
            yield "a flag that announces EXIF or XMP"
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2


def _in_gif(data: bytes) -> Iterator[str]:
    at = 13 + _gif_table(data[10])
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            at += 10 + _gif_table(data[at + 9]) + 1
        else:
            if data[at + 1] != 0xF9:
                yield f"extension {data[at + 1]:#x}"
            at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    if len(data) > at + 1:
        yield f"{len(data) - at - 1} bytes after the end"


def _gif_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
