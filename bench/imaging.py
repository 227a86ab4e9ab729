"""Pixel work alone: this service, Pillow used naively, libvips and sharp on the same pictures, taking turns.

Each engine runs in a process of its own with one thread and no cache. Prints a Markdown table of CPU time, file size,
fidelity against Pillow's Lanczos and memory. No network; a fixed count.

    python bench/imaging.py [ROUNDS] [WORKLOAD]      WORKLOAD is part of a name: only those are measured
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from io import BytesIO
from math import inf, log10
from pathlib import Path
from typing import Any

import pillow_heif
from PIL import Image, ImageChops, ImageOps, ImageStat

from app.domain import Size
from app.imaging.tokens import seen_size
from bench.imaging_engines import Task
from bench.imaging_pictures import Workload, workloads

HERE = Path(__file__).parent
SHARP = HERE / "sharp"
JPEG_START = b"\xff\xd8"
FORMS = {JPEG_START: "jpeg", b"RI": "webp", b"\x89P": "png"}
FULL_QUALITY_DB = 48
"""From here on a resize counts as equal to Pillow's Lanczos."""

OUR_IMAGE = {
    "MALLOC_TRIM_THRESHOLD_": "1048576",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""The memory settings that our Dockerfile makes for us; the others run as they come."""


class Engine:
    """A process that obeys; see `bench/imaging_engines.py`."""

    def __init__(self, process: "subprocess.Popen[str]", task: Task) -> None:
        self._process, self._task = process, task

    def ask(self, order: str) -> Any:
        """The answer to an order. Fails where the engine is gone: it cannot read or write this picture."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def written(self, order: str) -> bytes:
        """The bytes that it writes to its file."""
        return Path(self.ask(order)).read_bytes()


def main(rounds: int, wanted: str) -> None:
    """Measure and print."""
    with_sharp = _has_sharp()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {_versions(with_sharp=with_sharp)}, {time.strftime('%F')}\n")
    if not with_sharp:
        print("no sharp: node, or bench/sharp/node_modules, is not there\n")
    pillow_heif.register_heif_opener()  # pyright: ignore[reportUnknownMemberType] - untyped
    print("| workload | engine | CPU ms | of libvips | file kB | resize dB | file dB | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    for workload in workloads():
        if wanted in workload.name:
            for row in _rows(workload, rounds, with_sharp=with_sharp):
                print(row, flush=True)


def _rows(workload: Workload, rounds: int, *, with_sharp: bool) -> list[str]:
    """A row for each engine."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        data = workload.draw()
        source = Path(folder, "source")
        source.write_bytes(data)
        upright = _upright(data)
        size = seen_size(Size(*upright.size), workload.tier)
        task = Task(str(source), str(Path(folder, "out")), *size)
        ours = running.enter_context(_engine("ours", task))
        ours.ask("run")
        form = FORMS[ours.written("file")[:2]]
        task = replace(task, form=form, effort=ours.ask("effort"))
        engines = {"ours": ours}
        for name in _peers(data, form, with_sharp=with_sharp):
            engines[name] = running.enter_context(_engine(name, task))
        taken = _take_turns(engines, rounds)
        floor = _floor(engines, taken, upright)
        head = f"{workload.name}, {len(data) / 1e6:.1f} MB, {Size(*upright.size)} to {size}, {form}"
        return [_row(head, name, engines[name], taken[name], floor, upright) for name in taken]


def _peers(source: bytes, form: str, *, with_sharp: bool) -> list[str]:
    """The engines to compare with; only a JPEG can be shrunk while decoding, so only there it matters who does."""
    peers = ["Pillow, naive", "libvips"]
    if source.startswith(JPEG_START):
        peers = ["ours, all pixels", *peers, "libvips, all pixels"]
    if form == "webp":
        peers.append("libvips, PNG")
    return [*peers, "sharp"] if with_sharp else peers


def _take_turns(engines: dict[str, Engine], rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds of each engine that can do it, the first two rounds left out."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(rounds + 2):
        for name in list(taken):
            try:
                cpu_ms = engines[name].ask("run")
            except (OSError, ValueError):
                del taken[name]
                continue
            if turn >= 2:
                taken[name].append(cpu_ms)
    return taken


def _floor(engines: dict[str, Engine], taken: dict[str, list[float]], upright: Image.Image) -> float:
    """The CPU time of libvips, the quickest way that has full quality, in our format and at our effort."""
    return min(
        (
            statistics.median(taken[name])
            for name in ("libvips", "libvips, all pixels")
            if name in taken and _fidelity_db(engines[name].written("pixels"), upright) >= FULL_QUALITY_DB
        ),
        default=inf,
    )


def _row(head: str, name: str, engine: Engine, taken: list[float], floor: float, upright: Image.Image) -> str:
    cpu_ms, peak_mb, file = statistics.median(taken), engine.ask("peak"), engine.written("file")
    resized_db, file_db = (_fidelity_db(picture, upright) for picture in (engine.written("pixels"), file))
    ratio = f"{cpu_ms / floor:.2f}" if floor < inf else "-"
    figures = f"{cpu_ms:.0f} | {ratio} | {len(file) / 1000:.0f} | {resized_db:.1f} | {file_db:.1f} | {peak_mb:.0f}"
    return f"| {head} | {name} | {figures} |"


def _fidelity_db(picture: bytes, upright: Image.Image) -> float:
    """Peak signal to noise ratio of a file against Pillow's Lanczos at the file's size."""
    image = Image.open(BytesIO(picture)).convert("RGB")
    full = upright.resize(image.size, Image.Resampling.LANCZOS)  # pyright: ignore[reportUnknownMemberType] - Pillow's stub
    squares = ImageStat.Stat(ImageChops.difference(image, full)).sum2
    mean = sum(squares) / (3 * image.width * image.height)
    return 10 * log10(255 * 255 / mean) if mean else inf


def _upright(data: bytes) -> Image.Image:
    """All pixels, as a person sees them."""
    return ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB")


def _has_sharp() -> bool:
    return shutil.which("node") is not None and (SHARP / "node_modules" / "sharp").exists()


def _versions(*, with_sharp: bool) -> str:
    """What was measured, for the head of the table."""
    import pyvips  # noqa: PLC0415 - its library is heavy, and the others are measured first

    libvips = ".".join(str(pyvips.version(part)) for part in range(3))
    names = [f"Python {platform.python_version()}", f"Pillow {version('pillow')}", f"libvips {libvips}"]
    names.append(f"cykooz-resizer {version('cykooz-resizer')}")
    if with_sharp:
        package = json.loads((SHARP / "node_modules" / "sharp" / "package.json").read_text())
        names.append(f"sharp {package['version']}")
    return ", ".join(names)


@contextmanager
def _engine(name: str, task: Task) -> Generator[Engine]:
    """An engine's process, ended on exit."""
    task = replace(task, out=f"{task.out}-{name}")
    arguments = json.dumps(asdict(task))
    if name == "sharp":
        command = [shutil.which("node") or "node", str(SHARP / "engine.mjs"), arguments]
    else:
        command = [sys.executable, str(HERE / "imaging_engines.py"), name, arguments]
    variables = OUR_IMAGE if name.startswith("ours") else {"VIPS_CONCURRENCY": "1"}
    pipe, environment = subprocess.PIPE, {**os.environ, **variables}
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment)
    with process:
        yield Engine(process, task)
        process.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15, sys.argv[2] if len(sys.argv) > 2 else "")
