"""Many large requests at once: throughput, memory, health answers and the cache, on a real port.

Starts the service before a sandbox in a process of its own, sends it 12-megapixel JPEGs that all differ and JSON bodies
of 13 MB, and reads the memory of it and its image workers from /proc (proportional set size). Beside it libvips
prepares the same pictures. Loopback only, fixed counts.

    python bench/load.py [PART...]
"""

import asyncio
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, TypeAlias

import httpx2

from bench.latency import block, photo, process

LARGE = (4032, 3024, 4_700_000)
SEEN_PX = 2212
BATCH = 25
CLIENTS = 64
MEGABYTE = 1_000_000

Sent: TypeAlias = dict[str, Any]
"""What a request sends, as the client's keywords."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service under load: where it listens, and its process."""

    url: str
    pid: int


def main() -> None:
    """Measure and print."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')}")
    print(f"pillow {version('pillow')}, cykooz-resizer {version('cykooz-resizer')}, pyvips {version('pyvips')}\n")
    picture = photo(*LARGE)
    print("| what | figure |\n|---|---|")
    parts: dict[str, Callable[[], None]] = {
        "cold": cold_start,
        "repeated": lambda: repeated(picture),
        "scaling": lambda: scaling(picture),
        "one": lambda: one_request(picture),
        "uploads": lambda: many_uploads(picture),
        "bodies": many_bodies,
        "overload": lambda: overload(picture),
    }
    with TemporaryDirectory() as folder:
        os.environ["VISION_PROXY_DATABASE_URL"] = f"sqlite:///{folder}/load.db"
        subprocess.run([sys.executable, "-m", "app", "keys", "list"], check=True)  # as on every start but the first
        for name in sys.argv[1:] or parts:
            parts[name]()


def cold_start() -> None:
    """From the command to the first answer of /livez, median of five."""
    taken: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        with started() as service:
            httpx2.get(f"{service.url}/livez").raise_for_status()
            taken.append(time.perf_counter() - began)
    row("cold start to the first /livez, median of 5", f"{statistics.median(taken):.2f} s")


def repeated(picture: bytes) -> None:
    """The same picture a second time."""
    with started() as service, httpx2.Client(base_url=service.url, timeout=60) as client:
        post(client, [distinct(picture, 0)])
        first = [timed(lambda number=number: post(client, [distinct(picture, number)])) for number in range(1, 11)]
        again = [timed(lambda number=number: post(client, [distinct(picture, number)])) for number in range(1, 11)]
    ratio = statistics.median(again) / statistics.median(first)
    row(
        "a repeated 12-megapixel picture",
        f"{1000 * statistics.median(first):.0f} ms, then {1000 * statistics.median(again):.0f} ms: {ratio:.2f}",
    )


def scaling(picture: bytes) -> None:
    """Pictures a second with one worker and with two, eight clients."""
    rates: list[float] = []
    for workers in (1, 2):
        with started(VISION_PROXY_IMAGE_WORKERS=str(workers)) as service:
            taken, _ = asyncio.run(clients(service.url, [_form(distinct(picture, number)) for number in range(48)], 8))
            rates.append(48 / taken)
    row("12-megapixel pictures a second, 1 and 2 workers", f"{rates[0]:.1f}, {rates[1]:.1f}: {rates[1] / rates[0]:.2f}")


def one_request(picture: bytes) -> None:
    """25 photographs in one request, and libvips doing the same in as many processes."""
    pictures = [distinct(picture, number) for number in range(BATCH)]
    with started() as service, httpx2.Client(base_url=service.url, timeout=120) as client:
        post(client, [distinct(picture, BATCH + number) for number in range(2)])
        before = memory_mb(service.pid)
        ours = timed(lambda: post(client, pictures))
        with watched(service) as watch:  # which takes its part of the processor
            post(client, [distinct(picture, 100 + number) for number in range(BATCH)])
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(with_vips, pictures[:2]))
        theirs = timed(lambda: list(pool.map(with_vips, pictures)))
    row(
        f"{BATCH} photographs of 12 megapixels in one request",
        f"{ours:.2f} s; libvips alone {theirs:.2f} s: {ours / theirs:.2f}",
    )
    row(
        "memory before, and at the peak of it",
        f"{before:.0f} MB, {watch.peak_mb:.0f} MB; {BATCH * len(picture) / MEGABYTE:.0f} MB are its body",
    )


def many_uploads(picture: bytes) -> None:
    """64 clients at once, each with a photograph of its own; with the budget of bodies and without."""
    uploads = [_form(distinct(picture, number)) for number in range(2 * CLIENTS)]
    gated_and_not(f"{CLIENTS} clients, {len(uploads)} uploads of 12 megapixels", "/v1/estimate", uploads)


def many_bodies() -> None:
    """64 clients at once, each with 25 JPEGs of 400 kB in base64 that need nothing; the upstream answers at once."""
    blocks = [block(photo(1160, 870, 400_000))] * BATCH
    body = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": blocks}]}
    content = json.dumps(body).encode()
    bodies: list[Sent] = [{"content": content, "headers": {"content-type": "application/json"}}] * (2 * CLIENTS)
    what = f"{CLIENTS} clients, {len(bodies)} bodies of {len(content) / MEGABYTE:.1f} MB"
    gated_and_not(what, "/v1/messages", bodies)


def gated_and_not(what: str, path: str, requests: Sequence["Sent"]) -> None:
    """Throughput, memory and /livez with the default budgets, and the throughput without any."""
    with at_once() as upstream:
        with started(**upstream) as service:
            time.sleep(5)
            idle = memory_mb(service.pid)
            with watched(service) as watch:
                taken, statuses = asyncio.run(clients(service.url, requests, CLIENTS, path))
            time.sleep(60)
            after = memory_mb(service.pid)
        free = {"VISION_PROXY_BODY_MEMORY_BYTES": "1000000000000", "VISION_PROXY_SENDING_MEMORY_BYTES": "1000000000000"}
        patient = {"VISION_PROXY_IMAGE_QUEUE_TIMEOUT_S": "120"}
        with started(**upstream, **free, **patient) as service, watched(service) as open_watch:
            ungated, _ = asyncio.run(clients(service.url, requests, CLIENTS, path))
    row(what, f"{statuses.count(200) / taken:.1f} good a second, statuses {counted(statuses)}")
    rate, open_rate = statuses.count(200) / taken, len(requests) / ungated
    row(
        "without budgets",
        f"{open_rate:.1f} a second, peak {open_watch.peak_mb:.0f} MB; with them {rate / open_rate:.2f}",
    )
    row("/livez meanwhile, p50 and p99", percentiles(watch.health_ms))
    row("memory idle, peak, a minute later", f"{idle:.0f} MB, {watch.peak_mb:.0f} MB, {after:.0f} MB")


def overload(picture: bytes) -> None:
    """Four clients that are patient, alone and then beside 64 that hammer and are refused within a moment."""
    wanted = [_form(distinct(picture, number)) for number in range(CLIENTS)]
    with sandbox() as upstream, started(**upstream, VISION_PROXY_ADMISSION_TIMEOUT_S="0.5") as service:
        taken, statuses = asyncio.run(clients(service.url, wanted, 4, "/v1/estimate"))
        peak = statuses.count(200) / taken
        hammering = [_form(distinct(picture, 1_000 + number)) for number in range(6 * CLIENTS)]
        with watched(service) as watch:
            taken, statuses = asyncio.run(clients(service.url, hammering, CLIENTS, "/v1/estimate"))
    goodput = statuses.count(200) / taken
    row(
        f"overload: {CLIENTS} clients that come back at once",
        f"{goodput:.1f} good a second of {peak:.1f}: {goodput / peak:.2f}, statuses {counted(statuses)}",
    )
    row("/livez meanwhile, p50 and p99; peak", f"{percentiles(watch.health_ms)}; {watch.peak_mb:.0f} MB")


def _form(data: bytes) -> "Sent":
    return {"files": [("image", ("photo.jpg", data, "image/jpeg"))]}


def counted(statuses: Sequence[int]) -> dict[int, int]:
    """How often each status came; 0 is a connection that was closed while the body was still being sent."""
    return {status: statuses.count(status) for status in sorted(set(statuses))}


def percentiles(health_ms: Sequence[float]) -> str:
    """p50 and p99 in words."""
    cuts = statistics.quantiles(health_ms, n=100)
    return f"{cuts[49]:.1f} ms, {cuts[98]:.1f} ms"


def with_vips(data: bytes) -> int:
    """The size in bytes of what libvips makes of a photograph for the high tier."""
    os.environ["VIPS_CONCURRENCY"] = "1"
    import pyvips  # noqa: PLC0415 - after the number of its threads is set

    image = pyvips.Image.thumbnail_buffer(data, SEEN_PX, size="down")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportOptionalMemberAccess, reportAttributeAccessIssue]
    return len(image.jpegsave_buffer(Q=90, subsample_mode="off", keep=0))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportOptionalMemberAccess, reportAttributeAccessIssue]


def distinct(jpeg: bytes, number: int) -> bytes:
    """The same pixels in another file: a comment that holds the number."""
    return jpeg[:2] + b"\xff\xfe\x00\x06" + number.to_bytes(4, "big") + jpeg[2:]


def post(client: httpx2.Client, pictures: Sequence[bytes]) -> None:
    """Have pictures prepared."""
    files = [("image", (f"{number}.jpg", data, "image/jpeg")) for number, data in enumerate(pictures)]
    client.post("/v1/estimate", files=files).raise_for_status()


async def clients(
    url: str, requests: Sequence["Sent"], count: int, path: str = "/v1/estimate"
) -> tuple[float, list[int]]:
    """How long `count` clients take for all requests, and the statuses of the answers."""
    statuses: list[int] = []
    waiting = list(requests)

    async def one(client: httpx2.AsyncClient) -> None:
        while waiting:
            try:
                statuses.append((await client.post(path, **waiting.pop())).status_code)
            except httpx2.TransportError:
                statuses.append(0)

    limits = httpx2.Limits(max_connections=count)
    async with httpx2.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        began = time.perf_counter()
        await asyncio.gather(*[one(client) for _ in range(count)])
        return time.perf_counter() - began, statuses


class Watch:
    """What was seen of a service while it worked."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self.health_ms: list[float] = []


@contextmanager
def watched(service: Service) -> Generator[Watch]:
    """Looks at the memory and asks /livez, from a process apart in all but name: a thread with its own connection."""
    watch, done = Watch(), Event()

    def look() -> None:
        with httpx2.Client(base_url=service.url, timeout=30) as client:
            for turn in itertools.count():
                if done.wait(0.02):
                    return
                if turn % 5 == 0:  # it keeps the service waiting while its pages are counted
                    watch.peak_mb = max(watch.peak_mb, memory_mb(service.pid))
                watch.health_ms.append(1000 * timed(lambda: client.get("/livez").raise_for_status()))

    thread = Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        done.set()
        thread.join()


def memory_mb(pid: int) -> float:
    """Proportional set size of a process and all its descendants; shared pages are counted once."""
    return sum(_own_memory(process) for process in [pid, *_descendants(pid)]) / MEGABYTE


def _own_memory(pid: int) -> int:
    with suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


@contextmanager
def started(**variables: str) -> Generator[Service]:
    """The service with its own sandbox, once it listens; ended on exit."""
    command = [sys.executable, "-m", "app", "serve", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables})
    assert process.stderr is not None
    try:
        address = next(found[1] for line in process.stderr if (found := re.search(r"running on (http://\S+)", line)))
        Thread(target=process.stderr.read, daemon=True).start()
        yield Service(address, process.pid)
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def sandbox() -> Generator[dict[str, str]]:
    """The variables that point a service at a sandbox in a process of its own."""
    with process([sys.executable, "-m", "app", "sandbox", "--port", "0"], {}) as address:
        yield {"ANTHROPIC_BASE_URL": address, "ANTHROPIC_API_KEY": "bench"}


@contextmanager
def at_once() -> Generator[dict[str, str]]:
    """The variables that point a service at an upstream that reads the whole body and answers at once."""
    with process([sys.executable, "-m", "uvicorn", "bench.latency:upstream"], {}) as address:
        yield {"ANTHROPIC_BASE_URL": address, "ANTHROPIC_API_KEY": "bench"}


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def row(what: str, figure: str) -> None:
    """Print one row of the table."""
    print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
