"""What a picture is said to take before it is decoded, against what a worker then takes."""

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from PIL import Image

from app.domain import Size
from app.imaging.forkserver import ForkServer
from app.imaging.jobs import Render, Rendered
from app.imaging.memory import needed_bytes
from app.imaging.plan import ImagePlan
from tests import bombs
from tests.imaging.pictures import facts_of, saved

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="this machine has no /proc, so nobody can say what a process takes"
)

TARGET = Size(1568, 1568)
GROUND_BYTES = 12_000_000
"""Code and tables that a fresh worker touches for the first time in its first job, whatever the picture."""


def noise(mode: str, side_px: int = 3600) -> Image.Image:
    """A picture of grain in that mode."""
    grain = Image.effect_noise((side_px, side_px), 60)
    if mode in {"RGB", "RGBA", "LA", "CMYK"}:
        return Image.merge(mode, [grain] * len(mode))
    return grain.convert("I").convert("I;16") if mode == "I;16" else grain.convert(mode)


FILES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved(noise("RGB"), "JPEG"),
    "grey JPEG": lambda: saved(noise("L"), "JPEG"),
    "CMYK JPEG": lambda: saved(noise("CMYK"), "JPEG"),
    "progressive JPEG": lambda: saved(noise("RGB"), "JPEG", progressive=True),
    "progressive JPEG 4:4:4": lambda: saved(noise("RGB"), "JPEG", progressive=True, subsampling=0),
    "progressive CMYK JPEG": lambda: saved(noise("CMYK"), "JPEG", progressive=True),
    "PNG": lambda: saved(noise("RGB"), "PNG", compress_level=1),
    "black and white PNG": lambda: saved(noise("1"), "PNG"),
    "grey PNG": lambda: saved(noise("L"), "PNG", compress_level=1),
    "palette PNG": lambda: saved(noise("P"), "PNG", compress_level=1),
    "PNG with alpha": lambda: saved(noise("RGBA"), "PNG", compress_level=1),
    "grey PNG with alpha": lambda: saved(noise("LA"), "PNG", compress_level=1),
    "16-bit PNG": lambda: saved(noise("I;16"), "PNG", compress_level=1),
    "16-bit PNG with alpha": lambda: bombs.png_of(3600, 3600, depth=16, colour_type=6),
    "keyed PNG": lambda: saved(noise("RGB"), "PNG", compress_level=1, transparency=(1, 2, 3)),
    "keyed grey PNG": lambda: saved(noise("L"), "PNG", compress_level=1, transparency=3),
    "keyed palette PNG": lambda: saved(noise("P"), "PNG", compress_level=1, transparency=3),
    "GIF": lambda: saved(noise("P"), "GIF"),
    "keyed GIF": lambda: saved(noise("P"), "GIF", transparency=3),
    "GIF of a pixel": lambda: bombs.gif_of_canvas(3600, 3600),
    "lossy WebP": lambda: saved(noise("RGB"), "WEBP", method=0),
    "lossless WebP": lambda: saved(noise("RGB"), "WEBP", method=0, lossless=True, quality=0),
    "lossless WebP with alpha": lambda: saved(noise("RGBA"), "WEBP", method=0, lossless=True, quality=0),
    "WebP of 42 bytes": lambda: bombs.webp_of(3600, 3600),
    "JPEG 2000": lambda: saved(noise("RGB", 1800), "JPEG2000"),
    "JPEG 2000 with alpha": lambda: saved(noise("RGBA", 1800), "JPEG2000"),
    "AVIF": lambda: saved(noise("RGB", 2600), "AVIF", speed=10, subsampling="4:4:4"),
    "AVIF with alpha": lambda: saved(noise("RGBA", 2600), "AVIF", speed=10),
    "HEIF": lambda: saved(Image.new("RGB", (2600, 2600), "teal"), "HEIF"),
    "HEIF with alpha": lambda: saved(Image.new("RGBA", (2600, 2600), "#12345678"), "HEIF"),
    "TIFF": lambda: saved(noise("RGB"), "TIFF", compression="tiff_lzw"),
    "CMYK TIFF": lambda: saved(noise("CMYK"), "TIFF"),
    "grey TIFF with alpha": lambda: saved(noise("LA"), "TIFF"),
    "32-bit TIFF": lambda: saved(noise("I"), "TIFF"),
    "floating TIFF": lambda: saved(noise("F"), "TIFF"),
    "BMP": lambda: saved(noise("RGB"), "BMP"),
}


@pytest.mark.parametrize("name", FILES)
def test_no_picture_takes_more_than_was_reckoned(name: str) -> None:
    data = FILES[name]()
    facts = facts_of(data)
    plan = ImagePlan(TARGET)

    taken = anyio.run(growth_bytes, Render(facts, plan), data)

    assert taken <= needed_bytes(facts, plan) + 2 * len(data) + GROUND_BYTES


def test_resizing_takes_little_besides_both_pictures() -> None:
    data = FILES["JPEG"]()
    facts = facts_of(data)

    taken = anyio.run(growth_bytes, Render(facts, ImagePlan(TARGET)), data)

    both = 4 * (facts.size.pixels + TARGET.pixels)
    assert taken <= both + 2 * len(data) + GROUND_BYTES


async def growth_bytes(job: Render, data: bytes) -> int:
    """By how much a fresh worker grew, at the most, over that job."""
    server = ForkServer(2**31)
    try:
        worker = await server.fork()
        before = kilobytes(worker.pid, "VmRSS")
        outcome, _ = await worker.run(job, data, cpu_s=60, memory_bytes=10**9)
        after = kilobytes(worker.pid, "VmHWM")
        await server.end(worker)
    finally:
        server.close()
    assert isinstance(outcome, Rendered)
    return (after - before) * 1024


def kilobytes(pid: int, name: str) -> int:
    """One of the numbers that the kernel has of a process's memory."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(next(line for line in text.splitlines() if line.startswith(f"{name}:")).split()[1])
