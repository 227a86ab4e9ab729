"""One engine in a process of its own: told over stdin what to do, it answers one JSON line each.

    python bench/imaging_engines.py ENGINE TASK      TASK is a JSON object, see `Task`

`run` makes the file once and answers the CPU milliseconds, `peak` how far memory rose, `file` and `pixels` write the
last file, or the pixels before encoding as a PNG, to the path `out` and answer it, `effort` (ours alone) answers how
hard a WebP was searched for.
"""

import json
import re
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps


@dataclass(frozen=True, slots=True)
class Task:
    """A file, the size wanted of it, and the form: `jpeg` (quality 90, 4:4:4), lossless `webp`, `png`, or open yet."""

    source: str
    out: str
    width_px: int
    height_px: int
    form: str = ""
    effort: tuple[int, int] = (0, 0)
    """WebP's method and quality, as we chose them for this picture."""


class Ours:
    """This service's own path, the header already probed."""

    def __init__(self, task: Task) -> None:
        from app.domain import Size  # noqa: PLC0415 - each engine's process loads that engine alone
        from app.imaging import classify, decode, encode, limits, plan, probe, render  # noqa: PLC0415

        self._data = Path(task.source).read_bytes()
        self._facts = probe.probe(self._data, limits.SourceLimits())
        self._plan = plan.ImagePlan(Size(task.width_px, task.height_px))
        self._classify, self._decode, self._encode, self._render = classify, decode, encode, render

    def run(self) -> bytes:
        """The file."""
        return self._render.prepare(self._data, self._facts, self._plan).data

    def pixels(self) -> Image.Image:
        """The pixels that go into the file."""
        return self._render.finish(
            self._decode.decode(self._data, self._facts, self._plan, self._decode.Whole()), self._plan.target
        )[0]

    def effort(self) -> tuple[int, int]:
        """WebP's method and quality for this picture."""
        return self._encode.webp_effort(self.pixels())


class OursWhole(Ours):
    """This service's path without `draft`: every pixel decoded."""

    def run(self) -> bytes:
        """The file."""
        image = self.pixels()
        return self._encode.encode_best(image, synthetic=self._classify.is_synthetic(image)).data

    def pixels(self) -> Image.Image:
        """The pixels that go into the file."""
        whole = self._decode.decode(
            self._data, self._facts, replace(self._plan, target=self._facts.size), self._decode.Whole()
        )
        return self._render.finish(whole, self._plan.target)[0]


class Naive:
    """Pillow as most would write it: `thumbnail`, JPEG 90 or PNG."""

    def __init__(self, task: Task) -> None:
        import pillow_heif  # noqa: PLC0415 - as above

        pillow_heif.register_heif_opener()  # pyright: ignore[reportUnknownMemberType] - untyped
        self._task, self._data = task, Path(task.source).read_bytes()

    def run(self) -> bytes:
        """The file."""
        image, buffer = self.pixels(), BytesIO()
        if self._task.form == "jpeg":
            image.save(buffer, "JPEG", quality=90)
        else:
            image.save(buffer, "PNG", optimize=False)
        return buffer.getvalue()

    def pixels(self) -> Image.Image:
        """The pixels that go into the file."""
        image = ImageOps.exif_transpose(Image.open(BytesIO(self._data))).convert("RGB")
        image.thumbnail((self._task.width_px, self._task.height_px), Image.Resampling.LANCZOS)
        return image


class Libvips:
    """libvips by `thumbnail_buffer`, the way its documentation recommends: it may shrink while decoding."""

    def __init__(self, task: Task) -> None:
        import pyvips  # noqa: PLC0415 - as above

        pyvips.cache_set_max(0)  # pyright: ignore[reportUnknownMemberType] - untyped
        self._vips: Any = pyvips
        self._task, self._data = task, Path(task.source).read_bytes()

    def run(self) -> bytes:
        """The file."""
        image = self._opaque()
        if self._task.form == "jpeg":
            return image.jpegsave_buffer(Q=90, subsample_mode="off", keep="none")
        if self._task.form == "webp":
            return image.webpsave_buffer(
                lossless=True, Q=self._task.effort[1], effort=self._task.effort[0], keep="none"
            )
        return image.pngsave_buffer(compression=PNG_LEVEL, keep="none")

    def pixels(self) -> Image.Image:
        """The pixels that go into the file."""
        return Image.open(BytesIO(self._opaque().pngsave_buffer(compression=1, keep="none")))

    def _opaque(self) -> Any:
        image = self._shrunk()
        return image.flatten(background=[255, 255, 255]) if image.hasalpha() else image

    def _shrunk(self) -> Any:
        task = self._task
        return self._vips.Image.thumbnail_buffer(self._data, task.width_px, height=task.height_px, size="force")


class LibvipsWhole(Libvips):
    """libvips decoding every pixel before its Lanczos, as equal quality asks of a JPEG."""

    def _shrunk(self) -> Any:
        task, image = self._task, self._vips.Image.new_from_buffer(self._data, "", access="sequential")
        return image.thumbnail_image(task.width_px, height=task.height_px, size="force")


class LibvipsPng(Libvips):
    """libvips writing a PNG where we write lossless WebP."""

    def run(self) -> bytes:
        """The file."""
        return self._opaque().pngsave_buffer(compression=PNG_LEVEL, keep="none")


PNG_LEVEL = 3
ENGINES = {
    "ours": Ours,
    "ours, all pixels": OursWhole,
    "Pillow, naive": Naive,
    "libvips": Libvips,
    "libvips, all pixels": LibvipsWhole,
    "libvips, PNG": LibvipsPng,
}


def main(name: str, task: Task) -> None:
    """Obey the lines that come in."""
    engine = ENGINES[name](task)
    before_mb, result = _memory_mb("VmRSS"), b""
    for line in sys.stdin:
        order = line.strip()
        if order == "run":
            cpu_ms, result = _timed(engine.run)
            print(json.dumps(cpu_ms), flush=True)
        elif order == "peak":
            print(json.dumps(_memory_mb("VmHWM") - before_mb), flush=True)
        elif isinstance(engine, Ours) and order == "effort":
            print(json.dumps(engine.effort()), flush=True)
        else:
            data = result
            if order == "pixels":
                buffer = BytesIO()
                engine.pixels().save(buffer, "PNG", compress_level=1)
                data = buffer.getvalue()
            Path(task.out).write_bytes(data)
            print(json.dumps(task.out), flush=True)


def _timed(work: Callable[[], bytes]) -> tuple[float, bytes]:
    """CPU milliseconds of all threads, user and system, and what came out."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000, result


def _memory_mb(field: str) -> float:
    """A figure of the kernel's on this process: `VmRSS` now, `VmHWM` at its highest; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    found = re.search(rf"{field}:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main(sys.argv[1], Task(**json.loads(sys.argv[2])))
