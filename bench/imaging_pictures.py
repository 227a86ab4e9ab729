"""The pictures that `bench/imaging.py` works on: drawn here, the same every time, or read in place from a corpus."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pillow_heif
from PIL import Image, ImageChops, ImageDraw, ImageFont

from app.domain import HIGH_TIER, STANDARD_TIER, VisionTier

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
REAL = (
    ("orientation/Landscape_6.jpg", STANDARD_TIER),
    ("documents/hebrew-nikud-genesis-1-2.png", STANDARD_TIER),
    ("documents/phototest_2.tif", STANDARD_TIER),
    ("screenshots/mcp_tool_cost_tracking.png", STANDARD_TIER),
    ("screenshots/separate_health_app_architecture.png", STANDARD_TIER),
    ("heif/arrow.heic", STANDARD_TIER),
)
PHOTO, PHONE_48, A4_300_DPI, UHD = (4032, 3024), (8064, 6048), (2480, 3508), (3840, 2160)
EVEN_DEVIATION = 74  # of a random byte
WORDS = (
    "the",
    "ledger",
    "settles",
    "what",
    "each",
    "picture",
    "cost",
    "and",
    "says",
    "so",
    "in",
    "plain",
    "words",
    "to",
)
INK = {"light": ("#1d1f24", "#0b57d0", "#9a3412"), "dark": ("#d4d4d4", "#9cdcfe", "#ce9178", "#6a9955", "#c586c0")}


@dataclass(frozen=True, slots=True)
class Workload:
    """A file and the tier that it is made smaller for."""

    name: str
    draw: Callable[[], bytes]
    tier: VisionTier


def workloads() -> Iterator[Workload]:
    """Every workload, the drawn ones first."""
    yield Workload("12 MP photo JPEG", lambda: _file(photo(PHOTO), "JPEG", quality=88), STANDARD_TIER)
    yield Workload("12 MP photo JPEG", lambda: _file(photo(PHOTO), "JPEG", quality=88), HIGH_TIER)
    yield Workload("48 MP photo JPEG", lambda: _file(photo(PHONE_48), "JPEG", quality=80), STANDARD_TIER)
    yield Workload("A4 300 dpi grey JPEG", lambda: _file(scan("L"), "JPEG", quality=85), STANDARD_TIER)
    yield Workload("A4 300 dpi RGB JPEG", lambda: _file(scan("RGB"), "JPEG", quality=85), STANDARD_TIER)
    yield Workload("A4 300 dpi grey PNG", lambda: _file(scan("L"), "PNG"), STANDARD_TIER)
    yield Workload("A4 300 dpi RGB TIFF", lambda: _file(scan("RGB"), "TIFF", compression="tiff_lzw"), STANDARD_TIER)
    yield Workload("4K screenshot PNG", lambda: _file(screenshot(), "PNG"), STANDARD_TIER)
    yield Workload("4K screenshot PNG", lambda: _file(screenshot(), "PNG"), HIGH_TIER)
    yield Workload("4K screenshot RGBA PNG", lambda: _file(screenshot().convert("RGBA"), "PNG"), STANDARD_TIER)
    if _encodes_heif():
        yield Workload("12 MP photo HEIC", lambda: _file(photo(PHOTO), "HEIF", quality=50), STANDARD_TIER)
    else:
        print("no HEIC: this pillow-heif cannot encode one\n")
    for name, tier in REAL:
        if (CORPUS / name).exists():
            yield Workload(f"real {Path(name).name}", (CORPUS / name).read_bytes, tier)


@cache
def photo(size: tuple[int, int]) -> Image.Image:
    """A scene of soft light, edges and grain; about 4.7 MB as a JPEG of 12 megapixels."""
    bands = [_clouds(size, (6, 48, 400), seed) for seed in range(3)]
    scene = Image.merge("RGB", [Image.blend(band, bands[0], 0.6) for band in bands])
    pen, random = ImageDraw.Draw(scene), Random(3)  # noqa: S311 - no secret
    for _ in range(300):
        left, top = random.randrange(size[0]), random.randrange(size[1])
        colour = tuple(random.randrange(30, 220) for _ in range(3))
        reach = random.randrange(20, size[0] // 12)
        pen.ellipse((left, top, left + reach, top + reach * random.uniform(0.3, 1.2)), fill=colour)
    grain = Image.merge("RGB", [_grain(size, 14)] * 3)
    return ImageChops.add(scene, grain, offset=-128)


@cache
def scan(mode: str) -> Image.Image:
    """A page of text on paper that is not quite white."""
    page = Image.new("RGB", A4_300_DPI, "#f6f3ec")
    _write(ImageDraw.Draw(page), (220, 260, 2260, 3300), 42, ("#22201f",), seed=5)
    grain = Image.merge("RGB", [_grain(A4_300_DPI, 4)] * 3)
    return ImageChops.add(page, grain, offset=-128).convert(mode)


@cache
def screenshot() -> Image.Image:
    """A 4K desktop: wallpaper in a gradient, an editor, a page with a chart and a photograph, icons."""
    desk = _ramp(UHD, (28, 52, 110), (150, 90, 170))
    _window(desk, (120, 140, 1900, 1960), "#1e1e1e", "#323233", INK["dark"])
    _window(desk, (1960, 220, 3720, 1960), "#ffffff", "#e8eaed", INK["light"])
    desk.paste(photo((900, 600)), (2700, 1280))
    pen = ImageDraw.Draw(desk)
    for bar in range(12):
        pen.rectangle((2020 + bar * 50, 1860 - bar * 37 % 420, 2054 + bar * 50, 1880), fill=(60, 90 + bar * 12, 200))
    for place in range(18):
        icon = _ramp((96, 96), (40 + place * 12, 200 - place * 9, 90), (250, 220 - place * 7, place * 14))
        mask = Image.new("L", (96, 96), 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, 95, 95), 22, fill=255)
        desk.paste(icon, (980 + place * 106, 2030), mask)
    return desk


def _window(desk: Image.Image, box: tuple[int, int, int, int], ground: str, bar: str, inks: tuple[str, ...]) -> None:
    """A window of text on the desk."""
    left, top, right, bottom = box
    pen = ImageDraw.Draw(desk)
    pen.rounded_rectangle(box, 18, fill=ground)
    pen.rounded_rectangle((left, top, right, top + 60), 18, fill=bar)
    for light, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        pen.ellipse((left + 24 + light * 40, top + 18, left + 48 + light * 40, top + 42), fill=colour)
    _write(pen, (left + 40, top + 90, right - 40, bottom - 20), 26, inks, seed=len(inks))


def _write(
    pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], size_px: int, inks: tuple[str, ...], seed: int
) -> None:
    """Words in the box, line by line, indented and coloured as they come."""
    font, random = ImageFont.load_default(size_px), Random(seed)  # noqa: S311 - no secret
    left, top, right, bottom = box
    for row in range(top, bottom - size_px, size_px * 3 // 2):
        across = left + size_px * random.choice((0, 0, 1, 2, 4))
        end = left + (right - left) * random.uniform(0.3, 1)
        while across < end:
            word = random.choice(WORDS)
            pen.text((across, row), word, fill=random.choice(inks), font=font)
            across += int(font.getlength(word + " "))


def _ramp(size: tuple[int, int], start: tuple[int, int, int], end: tuple[int, int, int]) -> Image.Image:
    """A slanting gradient between two colours."""
    down = _stretched(Image.linear_gradient("L"), size)
    slant = Image.blend(down, _stretched(Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_90), size), 0.3)
    return Image.composite(Image.new("RGB", size, end), Image.new("RGB", size, start), slant)


def _clouds(size: tuple[int, int], grains: tuple[int, ...], seed: int) -> Image.Image:
    """Noise of several coarsenesses on top of each other, as light and texture are."""
    random = Random(seed)  # noqa: S311 - no secret
    layers = [Image.frombytes("L", (cells, cells), random.randbytes(cells * cells)) for cells in grains]
    total = _stretched(layers[0], size)
    for share, layer in zip((0.35, 0.2), layers[1:], strict=True):
        total = Image.blend(total, _stretched(layer, size), share)
    return total


def _grain(size: tuple[int, int], deviation: int) -> Image.Image:
    """Even noise around middle grey."""
    noise = Image.frombytes("L", size, Random(deviation).randbytes(size[0] * size[1]))  # noqa: S311 - no secret
    scale = deviation / EVEN_DEVIATION
    return noise.point([round(128 + (value - 127.5) * scale) for value in range(256)])  # pyright: ignore[reportUnknownMemberType] - Pillow's stub


def _stretched(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    box = (0, 0, *image.size)
    return image.transform(size, Image.Transform.EXTENT, box, Image.Resampling.BICUBIC)


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _encodes_heif() -> bool:
    """Whether this pillow-heif brings an encoder."""
    pillow_heif.register_heif_opener()  # pyright: ignore[reportUnknownMemberType] - untyped
    try:
        _file(Image.new("RGB", (64, 64)), "HEIF")
    except Exception:  # noqa: BLE001 - whatever it says, there is none
        return False
    return True
