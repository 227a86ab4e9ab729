"""Small files that would cost whoever opens them much: processor time, memory, or both. Nothing here is random."""

import struct
import zlib
from io import BytesIO

from PIL import Image

from tests.imaging.pictures import chunk, gif, gif_frame, ico, png, saved, segment

_START_OF_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"
_MEGABYTE = 1_000_000


def scan_bomb(size: tuple[int, int], scans: int) -> bytes:
    """A progressive grey JPEG whose last scan, a few bytes, stands there again and again: each one costs all pixels."""
    once = saved(Image.new("L", size, 128), "JPEG", progressive=True).removesuffix(_JPEG_END)
    last = once[once.rindex(_START_OF_SCAN) :]
    return once + last * (scans - once.count(_START_OF_SCAN)) + _JPEG_END


def jpeg_of_segments(count: int) -> bytes:
    """A JPEG with that many empty application segments before its pixels, four bytes each."""
    plain = _small("JPEG")
    return plain[:2] + segment(0xED, b"") * count + plain[2:]


def jpeg_of_fill_bytes(count: int) -> bytes:
    """A JPEG with that many fill bytes before its first marker."""
    plain = _small("JPEG")
    return plain[:2] + b"\xff" * count + plain[2:]


def jpeg_of_trailing_segments(count: int) -> bytes:
    """A JPEG with that many empty application segments between its pixels and its end."""
    return _small("JPEG").removesuffix(_JPEG_END) + segment(0xED, b"") * count + _JPEG_END


def webp_of(width_px: int, height_px: int) -> bytes:
    """A lossless WebP of one colour: 40 bytes whatever the size.

    Source: https://developers.google.com/speed/webp/docs/webp_lossless_bitstream_specification.
    """
    sizes = (width_px - 1) | (height_px - 1) << 14
    one_symbol_each = sum(1 << (4 * code) for code in range(5))  # five prefix codes of a single symbol, 0
    bits = sizes | one_symbol_each << (28 + 1 + 3 + 3)  # no alpha, version 0, no transform, cache or meta code
    body = b"\x2f" + bits.to_bytes(9, "little")
    return b"RIFF" + struct.pack("<I", 4 + 8 + len(body)) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body


def jpeg2000_of(width_px: int, height_px: int) -> bytes:
    """A JPEG 2000 of a few hundred bytes that declares that size."""
    small = _small("JPEG2000")
    declared, tile = struct.pack(">II", width_px, height_px), struct.pack(">II", 16, 16)
    in_box = small.index(b"ihdr") + 4
    small = small[:in_box] + struct.pack(">II", height_px, width_px) + small[in_box + 8 :]
    return small.replace(tile, declared)


def iso_media_of(kind: str, width_px: int, height_px: int) -> bytes:
    """An AVIF or HEIF of a few hundred bytes that declares that size in its container."""
    small = _small(kind, size=(64, 64))
    at = small.index(b"ispe") + 8
    return small[:at] + struct.pack(">II", width_px, height_px) + small[at + 8 :]


def png_of(width_px: int, height_px: int, *, depth: int = 8, colour_type: int = 0) -> bytes:
    """A PNG of zeros of that size: its pixels shrink a thousandfold."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    row_bytes = 1 + (width_px * channels * depth + 7) // 8
    packer = zlib.compressobj(9)
    a_megabyte = bytes(_MEGABYTE)
    count, rest = divmod(row_bytes * height_px, _MEGABYTE)
    pixels = [packer.compress(a_megabyte) for _ in range(count)] + [packer.compress(bytes(rest)), packer.flush()]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"".join(pixels)) + chunk(b"IEND", b"")


def png_with(name: bytes, count: int, unpacked_bytes: int) -> bytes:
    """A tiny PNG with that many text or profile chunks, each of which unpacks to so much."""
    packed = zlib.compress(bytes(unpacked_bytes), 9)
    return png((8, 8), bytes(9 * 8), before=chunk(name, b"a\0\0" + packed) * count)


def png_of_chunks(count: int) -> bytes:
    """A tiny PNG with that many empty chunks before its pixels."""
    return png((8, 8), bytes(9 * 8), before=chunk(b"prIv", b"") * count)


def png_of_trailing_chunks(count: int) -> bytes:
    """A tiny PNG with that many empty chunks behind its pixels."""
    return png((8, 8), bytes(9 * 8), after=chunk(b"prIv", b"") * count)


def gif_of_frames(count: int) -> bytes:
    """A GIF of that many frames of one pixel, 15 bytes each."""
    return gif((8, 8), *[gif_frame(0, 0)] * count)


def gif_of_extensions(count: int) -> bytes:
    """A GIF of one frame behind that many empty comments, three bytes each."""
    return gif((8, 8), gif_frame(0, 0), extensions=b"!\xfe\x00" * count)


def gif_of_canvas(width_px: int, height_px: int) -> bytes:
    """A GIF of one pixel on a canvas of that size."""
    return gif((width_px, height_px), gif_frame(0, 0))


def tiff_of_loop() -> bytes:
    """A TIFF whose second page says that the first one follows."""
    return tiff([(256, 4, 1, 8), (257, 4, 1, 8)], [(256, 4, 1, 8)], last_next=8)


def tiff_of_strips(count: int) -> bytes:
    """A TIFF that declares that many strips of one row each, all of them the same bytes."""
    offsets_at = 8 + 2 + 12 * 8 + 4
    tags = [
        (256, 4, 1, 8),
        (257, 4, 1, count),
        (258, 4, 1, 8),
        (259, 4, 1, 1),
        (262, 4, 1, 1),
        (273, 4, count, offsets_at),
        (278, 4, 1, 1),
        (279, 4, count, offsets_at),
    ]
    return tiff(tags) + struct.pack("<I", 8) * count


def tiff_of_values(count: int, size_bytes: int) -> bytes:
    """A TIFF of that many tags whose value is the same long stretch of the file."""
    tags = [(256, 4, 1, 8), (257, 4, 1, 8), *((tag, 7, size_bytes, 8) for tag in range(60_000 - count, 60_000))]
    return tiff(tags) + bytes(size_bytes)


def tiff(*directories: list[tuple[int, int, int, int]], last_next: int = 0) -> bytes:
    """A TIFF of those directories, one behind the other; an entry is tag, type, count, value."""
    data = b"II*\x00\x08\x00\x00\x00"
    for number, entries in enumerate(directories, 1):
        body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        following = len(data) + len(body) + 4 if number < len(directories) else last_next
        data += body + struct.pack("<I", following)
    return data


def bmp_rle_of(width_px: int, height_px: int) -> bytes:
    """A run-length coded BMP of that size that ends at once: the rest of it is to be filled in."""
    palette = bytes(4 * 256)
    at = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width_px, height_px, 1, 8, 1, 2, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", at + 2, 0, 0, at) + header + palette + b"\x00\x01"


def icon_of(width_px: int, height_px: int) -> bytes:
    """An icon whose one picture is a PNG of that size."""
    return ico(png_of(width_px, height_px, depth=1))


def icon_of_entries(count: int) -> bytes:
    """An icon whose every entry is the same PNG."""
    picture = png((8, 8), bytes(9 * 8))
    entry = struct.pack("<BBBBHHII", 8, 8, 0, 0, 1, 32, len(picture), 6 + 16 * count)
    return struct.pack("<HHH", 0, 1, count) + entry * count + picture


def pdf(*objects: bytes, pages: bytes = b"3 0 R", count: int = 1) -> bytes:
    """A PDF whose page tree has those kids and says it holds that many; `objects` are numbered from 3."""
    tree = b"<</Type/Pages/Kids[" + pages + b"]/Count " + str(count).encode() + b">>"
    data, offsets = b"%PDF-1.7\n", list[int]()
    for number, body in enumerate((b"<</Type/Catalog/Pages 2 0 R>>", tree, *objects), 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(offsets) + 1
    trailer = f"trailer<</Root 1 0 R/Size {size}>>\nstartxref\n{len(data)}\n%%EOF"
    return data + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def pdf_of_size(side_pt: int) -> bytes:
    """A PDF of one empty page of that width and height."""
    return pdf(f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {side_pt} {side_pt}]>>".encode())


def pdf_of_pages(count: int) -> bytes:
    """A PDF whose one page is shown that often."""
    return pdf(_page(b""), pages=b"3 0 R " * count, count=count)


def pdf_of_claimed_pages(count: int) -> bytes:
    """A PDF of one page that says it has that many."""
    return pdf(_page(b""), count=count)


def pdf_of_forms(width: int, depth: int) -> bytes:
    """A PDF whose page draws a form that draws the next one `width` times, and so on: width to the power of depth."""
    first = 4
    draw = _stream(b"/F Do ")
    forms = [
        _stream(
            b"/F Do " * width, f"/Type/XObject/Subtype/Form/BBox[0 0 99 99]/Resources<</XObject<</F {number} 0 R>>>>"
        )
        for number in range(first + 2, first + 1 + depth)
    ]
    last = _stream(b"0 0 9 9 re f", "/Type/XObject/Subtype/Form/BBox[0 0 99 99]")
    return pdf(_page(b"/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>"), draw, *forms, last)


def pdf_of_drawing(unpacked_bytes: int) -> bytes:
    """A PDF whose page is drawn by so many bytes of blanks and strokes, packed twice."""
    line = b"0 0 m 99 99 l S\n"
    return pdf(_page(b"/Contents 4 0 R"), _packed(line, unpacked_bytes))


def pdf_of_picture(side_px: int) -> bytes:
    """A PDF whose page shows one RGB picture of zeros of that width and height, packed twice."""
    keys = f"/Type/XObject/Subtype/Image/Width {side_px}/Height {side_px}/BitsPerComponent 8/ColorSpace/DeviceRGB"
    picture = _packed(bytes(16), 3 * side_px * side_px, keys)
    shown = _stream(b"99 0 0 99 0 0 cm /I Do")
    return pdf(_page(b"/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>"), shown, picture)


def _page(keys: bytes) -> bytes:
    return b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]" + keys + b">>"


def _packed(pattern: bytes, size_bytes: int, keys: str = "") -> bytes:
    """A stream of that pattern again and again, deflated twice, for once leaves a thousandth."""
    packer = zlib.compressobj(9)
    block = pattern * (_MEGABYTE // len(pattern))
    blocks, rest = divmod(size_bytes, len(block))
    once = b"".join([*(packer.compress(block) for _ in range(blocks)), packer.compress(block[:rest]), packer.flush()])
    return _stream(zlib.compress(once, 9), f"{keys}/Filter[/FlateDecode/FlateDecode]")


def _stream(content: bytes, keys: str = "") -> bytes:
    return f"<<{keys}/Length {len(content)}>>stream\n".encode() + content + b"\nendstream"


def _small(kind: str, size: tuple[int, int] = (16, 16)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(buffer, kind)
    return buffer.getvalue()
