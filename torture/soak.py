"""make soak: minutes at full load with faults injected; memory stays flat, workers live, the ledger equals the bill.

Loopback only, bounded in time. Prints a table; the exit status is 1 where something did not hold.

    python -m torture.soak [SECONDS]      # 600 by default
"""

import asyncio
import base64
import json
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from bench.latency import free_port, photo, process
from bench.load import distinct, memory_mb
from tests.processes import Running, running_service
from torture.watching import watched

CLIENTS = 24
WORKERS = 2
WARM_UP_SHARE = 0.2
GROWTH = 1.10
"""Of the median memory of the last third over that of the first one after the warm-up."""

MODEL = "claude-haiku-4-5"
Ask = Callable[[httpx2.AsyncClient, Random], Awaitable[int]]


def main(duration_s: float) -> int:
    """The exit status."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')}\n")
    port = free_port()
    sandbox = [sys.executable, "-m", "app", "sandbox", "--port", str(port)]
    with TemporaryDirectory() as folder, process(sandbox, {}) as upstream:
        database = Path(folder) / "soak.db"
        with running_service(upstream, database_url=f"sqlite:///{database}", image_workers=WORKERS) as service:
            run = Run(service, upstream, duration_s)
            with watched(str(service.client.base_url), service.pid) as seen:
                asyncio.run(run.all())
            faults = run.faults() + bill_faults(database, run.visits)
            health = statistics.quantiles(seen.health_ms, n=100)
        print("| what | figure |\n|---|---|")
        for what, figure in (
            ("requests", sum(run.statuses.values())),
            ("a second", f"{sum(run.statuses.values()) / duration_s:.1f}"),
            ("statuses", dict(sorted(run.statuses.items()))),
            ("billed by the sandbox", sum(bool(visit["billed"]) for visit in run.visits.values())),
            (
                "memory, MB, by the minute",
                ", ".join(f"{mb:.0f}" for mb in run.memory_mb[:: max(len(run.memory_mb) // 10, 1)]),
            ),
            ("/livez p50, p99 ms", f"{health[49]:.1f}, {health[98]:.1f}"),
            ("held", "; ".join(faults) or "yes"),
        ):
            print(f"| {what} | {figure} |")
    return 1 if faults else 0


class Run:
    """Clients that ask without a pause, and what is seen of the service meanwhile."""

    def __init__(self, service: Running, upstream: str, duration_s: float) -> None:
        """Nothing is sent yet."""
        self._service = service
        self._upstream = upstream
        self._ends_s = time.monotonic() + duration_s
        self._workers = len(service.workers)
        self.statuses: Counter[int] = Counter()
        self.memory_mb: list[float] = []
        self.visits: dict[str, Any] = {}

    async def all(self) -> None:
        """Everything, until the time is over."""
        large = photo(4032, 3024, 4_700_000)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look())
            for number in range(CLIENTS):
                tasks.create_task(self._client(number, large))
        await self._read_journal(settled=True)

    def faults(self) -> list[str]:
        """What did not hold, of memory and workers."""
        faults: list[str] = []
        steady = self.memory_mb[int(len(self.memory_mb) * WARM_UP_SHARE) :]
        third = max(len(steady) // 3, 1)
        first, last = statistics.median(steady[:third]), statistics.median(steady[-third:])
        if last > GROWTH * first:
            faults.append(f"memory grew from {first:.0f} to {last:.0f} MB")
        if len(self._service.workers) != self._workers or self._service.client.get("/readyz").status_code != 200:
            faults.append("a worker is missing")
        if any(status in {0, 500} for status in self.statuses):
            faults.append("an answer that must not be")
        if any(line.startswith("Traceback") for line in self._service.log):
            faults.append("a traceback in the log")
        return faults

    async def _client(self, number: int, large: bytes) -> None:
        chance = Random(number)  # noqa: S311 - no secret
        kinds = [text] * 8 + [stream] * 3 + [faulty] * 3 + [left] + [large_photo(large)] * 3 + [broken] * 2
        async with httpx2.AsyncClient(base_url=self._service.client.base_url, timeout=60) as client:
            while time.monotonic() < self._ends_s:
                try:
                    self.statuses[await chance.choice(kinds)(client, chance)] += 1
                except httpx2.RemoteProtocolError:
                    self.statuses[0] += 1

    async def _look(self) -> None:
        while time.monotonic() < self._ends_s:
            self.memory_mb.append(memory_mb(self._service.pid))
            await self._read_journal()
            await asyncio.sleep(2)

    async def _read_journal(self, *, settled: bool = False) -> None:
        """The sandbox keeps a thousand visits, more than come between two looks."""
        async with httpx2.AsyncClient(base_url=self._upstream, timeout=60) as client:
            params = {"settled": "true"} if settled else {}
            for visit in (await client.get("/sandbox/journal", params=params)).json():
                self.visits[visit["request_id"]] = visit


async def text(client: httpx2.AsyncClient, chance: Random) -> int:
    """Words alone."""
    return (await client.post("/v1/messages", json=message(chance))).status_code


async def stream(client: httpx2.AsyncClient, chance: Random) -> int:
    """A stream, read to its end."""
    return (await client.post("/v1/messages", json=message(chance, stream=True))).status_code


async def faulty(client: httpx2.AsyncClient, chance: Random) -> int:
    """An upstream that errs, cuts, dawdles or is overloaded."""
    fault = chance.choice(["529;times=1", "cut", "cut-before", "slow=0.5", "error-event", "429;retry-after=60", "529"])
    headers = {"x-vision-proxy-sandbox-fault": fault, "x-vision-proxy-sandbox-case": str(chance.random())}
    asked = message(chance, stream=fault in {"cut", "error-event"})
    return (await client.post("/v1/messages", json=asked, headers=headers)).status_code


async def left(client: httpx2.AsyncClient, chance: Random) -> int:
    """A stream that its client leaves."""
    async with client.stream("POST", "/v1/messages", json=message(chance, stream=True)) as response:
        async for _ in response.aiter_raw():
            break
        return response.status_code


async def broken(client: httpx2.AsyncClient, chance: Random) -> int:
    """A file that is no picture any more."""
    return (
        await client.post("/v1/analyze", files={"image": chance.randbytes(chance.randrange(1, 50_000))})
    ).status_code


def large_photo(jpeg: bytes) -> Ask:
    """A photograph of 12 megapixels, another one each time."""

    async def ask(client: httpx2.AsyncClient, chance: Random) -> int:
        files = {"image": ("photo.jpg", distinct(jpeg, chance.getrandbits(31)), "image/jpeg")}
        return (await client.post("/v1/analyze", files=files, data={"model": MODEL})).status_code

    return ask


def message(chance: Random, **fields: object) -> dict[str, object]:
    """A small question."""
    words = base64.b64encode(chance.randbytes(30)).decode()
    return {"model": MODEL, "max_tokens": 20, "messages": [{"role": "user", "content": words}], **fields}


def bill_faults(database: Path, visits: dict[str, Any]) -> list[str]:
    """Where the ledger is not what the sandbox billed: each request once, and every token of those that ended."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT state, upstream_request_id, usage FROM requests").fetchall()
    states = Counter(state for state, _, _ in rows)
    settled = {name: json.loads(usage) for state, name, usage in rows if state == "settled"}
    billed = {name: visit["billed"] for name, visit in visits.items() if visit["billed"]}
    faults = [f"{states['reserved']} rows left reserved"] if states["reserved"] else []
    if len(settled) != states["settled"] or not settled.keys() <= billed.keys():
        faults.append("settled twice, or what nobody billed")
    if len(billed.keys() - settled.keys()) > states["unknown"]:
        faults.append("billed and lost")
    told = [name for name, usage in settled.items() if usage.get("output_tokens", 0) > 1]  # 1 is how a stream begins
    for field in ("input_tokens", "output_tokens"):
        ours, theirs = (sum(usages[name][field] for name in told) for usages in (settled, billed))
        if ours != theirs:
            faults.append(f"{field}: {ours} in the ledger, {theirs} billed")
    print(f"ledger: {dict(states)}, {len(told)} of them with their whole usage\n")
    return faults


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 600))
