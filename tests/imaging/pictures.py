"""Files made for these tests, by Pillow where it can and by hand where it cannot, and how to look at a file."""

import struct
import zlib
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from random import Random
from typing import Any, TypeAlias

from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageStat

from app.domain import Size
from app.imaging.limits import SourceLimits
from app.imaging.plan import MAX_IMAGE_BYTES, ImagePlan
from app.imaging.probe import ImageFacts, probe
from app.imaging.render import PreparedImage, prepare

RGB: TypeAlias = tuple[int, int, int]
Picture: TypeAlias = tuple[str, tuple[int, int], bytes]
"""What a decoder makes of a file: its mode, size and pixels."""

LIMITS = SourceLimits()
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)
FLAT_SCAN = b"\x02\x02D\x01\x00"
"""One GIF pixel of colour 0, as its compressed data."""


def facts_of(data: bytes) -> ImageFacts:
    """What `probe` says within the default limits, and the digest."""
    return replace(probe(data, LIMITS), sha256=sha256(data).hexdigest())


def prepared(data: bytes, target: Size | None = None, max_bytes: int = MAX_IMAGE_BYTES) -> PreparedImage:
    """The picture decoded and encoded anew, at its own size unless a target is given."""
    facts = facts_of(data)
    return prepare(data, facts, ImagePlan(target or facts.size, max_bytes))


def opened(data: bytes) -> Image.Image:
    """The decoded file."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


def decoded(data: bytes) -> Picture:
    """What a decoder makes of the file, for comparing two."""
    image = opened(data)
    return image.mode, image.size, image.convert("RGBA").tobytes()


def colour_at(data: bytes, across: float, down: float) -> RGB:
    """The colour of one pixel, at shares of the width and height."""
    image = opened(data).convert("RGB")
    red, green, blue = (band.getpixel((int(image.width * across), int(image.height * down))) for band in image.split())
    assert isinstance(red, int)
    assert isinstance(green, int)
    assert isinstance(blue, int)
    return red, green, blue


def nearest_colour(data: bytes, across: float, down: float) -> str:
    """Which of the four colours of `corners` a pixel is nearest to."""
    names = {RED: "red", GREEN: "green", BLUE: "blue", WHITE: "white"}
    found = colour_at(data, across, down)
    return names[min(names, key=lambda colour: sum(abs(a - b) for a, b in zip(colour, found, strict=True)))]


def corner_colours(data: bytes) -> tuple[str, str, str, str]:
    """The colours of a picture's corners: top left, top right, bottom left, bottom right."""
    top_left, top_right = nearest_colour(data, 0.1, 0.1), nearest_colour(data, 0.9, 0.1)
    return top_left, top_right, nearest_colour(data, 0.1, 0.9), nearest_colour(data, 0.9, 0.9)


def rms(one: bytes, other: bytes, cells: int = 64) -> float:
    """How far two pictures are apart in 0..255, after averaging both to `cells` x `cells`."""
    small = [scaled(opened(data).convert("RGB"), (cells, cells)) for data in (one, other)]
    squares = ImageStat.Stat(ImageChops.difference(*small)).rms
    return (sum(band * band for band in squares) / 3) ** 0.5


def scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at that size, averaged where it gets smaller."""
    return image.resize(size, Image.Resampling.BOX)  # pyright: ignore[reportUnknownMemberType] - Pillow's stub


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as a file."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(width_px: int = 64, height_px: int = 32) -> Image.Image:
    """White with red at the top left, green at the bottom left, blue at the bottom right: no turn leaves it alike."""
    image = Image.new("RGB", (width_px, height_px), WHITE)
    across, down = width_px // 2, height_px // 2
    image.paste(RED, (0, 0, across, down))
    image.paste(GREEN, (0, down, across, height_px))
    image.paste(BLUE, (across, down, width_px, height_px))
    return image


def photo(width_px: int = 320, height_px: int = 240) -> Image.Image:
    """Grain on a gradient in three bands, as a camera sees it; the same every time."""
    size = (width_px, height_px)
    gradient = scaled(Image.radial_gradient("L"), size)
    grain = Image.frombytes("RGB", size, Random(width_px).randbytes(3 * width_px * height_px))  # noqa: S311 - no secret
    return Image.blend(Image.merge("RGB", [gradient] * 3), grain, 0.5)


def screen(width_px: int = 400, height_px: int = 300) -> Image.Image:
    """Lines of text and boxes in a few colours on white, as on a screen."""
    image = Image.new("RGB", (width_px, height_px), WHITE)
    pen = ImageDraw.Draw(image)
    for row in range(0, height_px, 16):
        pen.text((4, row), "The quick brown fox jumps over the lazy dog 0123456789", fill=(row % 200, 30, 60))
        pen.rectangle((width_px - 40, row, width_px - 20, row + 9), fill=(60, row % 256, 200))
    return image


def ink(colour: RGB, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Text of that colour on a fully transparent ground whose hidden colour is magenta."""
    alpha = Image.new("L", size, 0)
    ImageDraw.Draw(alpha).text((10, 10), "TEXT", fill=255, font_size=120)
    image = Image.new("RGB", size, "magenta")
    image.paste(colour, mask=alpha.point([0] + [255] * 255))  # pyright: ignore[reportUnknownMemberType] - Pillow's stub
    image.putalpha(alpha)
    return image


def exif(orientation: int) -> Image.Exif:
    """EXIF with that orientation, a GPS position and a camera's name."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F] = "SECRET-CAMERA"
    tags.get_ifd(0x8825)[1] = "N"
    return tags


def chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    size: tuple[int, int],
    rows: bytes,
    *,
    depth: int = 8,
    colour_type: int = 0,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG of those filtered rows, with further chunks before and after the pixel data."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0))
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", header, before, chunk(b"IDAT", zlib.compress(rows)), after, chunk(b"IEND", b""))
    )


def blank_png(width_px: int, height_px: int) -> bytes:
    """A black 1-bit PNG of that size, small in bytes whatever the size."""
    return png((width_px, height_px), bytes((1 + (width_px + 7) // 8) * height_px), depth=1)


def segment(marker: int, payload: bytes) -> bytes:
    """One JPEG segment."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def with_segment(jpeg: bytes, marker: int, payload: bytes) -> bytes:
    """The JPEG with a further segment right after its start."""
    return jpeg[:2] + segment(marker, payload) + jpeg[2:]


def gif_frame(left: int, top: int, width_px: int = 1, height_px: int = 1) -> bytes:
    """One GIF frame of that place and size, of colour 0 where it has one pixel."""
    return b"," + struct.pack("<HHHHB", left, top, width_px, height_px, 0) + FLAT_SCAN


def gif(canvas: tuple[int, int], *frames: bytes, extensions: bytes = b"") -> bytes:
    """A GIF of those frames with the palette red (colour 0, also the background) and blue."""
    head = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + bytes((*RED, *BLUE))
    return head + extensions + b"".join(frames) + b";"


def webp_with(webp: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """The WebP with further chunks at its end."""
    body = webp[12:] + b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def tiff_pages(count: int, *, last_next: int = 0) -> bytes:
    """A TIFF of that many 1x1 pages; `last_next` is where the last one says that another is."""
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 1)]
    entries = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    page_bytes = len(entries) + 4
    following = [8 + page_bytes * (page + 1) for page in range(count - 1)] + [last_next]
    return b"II*\x00\x08\x00\x00\x00" + b"".join(entries + struct.pack("<I", place) for place in following)


def grey_tiff(samples: bytes, width_px: int, *, bits: int, photometric: int) -> bytes:
    """A TIFF of one row of grey samples; photometric 1 counts from black, 0 from white."""
    values = {256: width_px, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 279: len(samples)}
    pixels = samples + bytes(len(samples) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    directory = struct.pack("<H", len(values)) + entries + bytes(4)
    return b"II*\x00" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


def ico(png_file: bytes, width_px: int = 0, height_px: int = 0) -> bytes:
    """An icon of one PNG, declared at that size (0 means 256)."""
    return (
        struct.pack("<HHH", 0, 1, 1)
        + struct.pack("<BBBBHHII", width_px, height_px, 0, 0, 1, 32, len(png_file), 22)
        + png_file
    )


def srgb_profile() -> bytes:
    """An ICC profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - Pillow's stub


def swapped_profile() -> bytes:
    """An ICC profile whose red is sRGB's blue and whose blue is sRGB's red, under another name than sRGB."""
    profile = srgb_profile().replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    swaps = ((b"rXYZ", b"-XYZ"), (b"bXYZ", b"rXYZ"), (b"-XYZ", b"bXYZ"))
    for old, new in swaps:
        profile = profile.replace(old, new)
    return profile


def linear_grey_profile() -> bytes:
    """An ICC profile of grey whose samples are proportional to light (ICC.1:2001, a white point and a curve)."""
    daylight = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    white = b"XYZ \x00\x00\x00\x00" + daylight
    curve = b"curv\x00\x00\x00\x00" + struct.pack(">I", 0)
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, len(white), b"kTRC", 156 + len(white), len(curve))
    length = 128 + len(tags) + len(white) + len(curve)
    head = struct.pack(">I4xI4s4s4s12x4s28x12s48x", length, 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp", daylight)
    return head + tags + white + curve
