"""make torture: every attack in turn on a real service, and after each whether it is as well as before.

Loopback only, bounded in count and time. Prints a table; the exit status is 1 where something did not hold.

    python -m torture [NAME ...]      # some of the attacks
"""

import asyncio
import os
import platform
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from io import BytesIO

import httpx2
from PIL import Image

from tests.processes import Running, running_service
from torture import bodies, guessing, sockets, upstream
from torture.watching import Seen, watched

Attack = Callable[[str], Awaitable[sockets.Statuses]]

ATTACKS: dict[str, Attack] = {
    "slow-uploads": sockets.slow_uploads,
    "one-byte-chunks": sockets.one_byte_chunks,
    "lying-lengths": sockets.lying_lengths,
    "gigantic-headers": sockets.gigantic_headers,
    "leavers": sockets.leavers,
    "forms": bodies.forms,
    "nested-json": bodies.nested_json,
    "exploding-files": bodies.exploding_files,
    "broken-files": bodies.broken_files,
    "forms-of-chance": guessing.forms_of_chance,
}
SCHEMAS, UPSTREAM = "schemas", "upstream"

OK = 200
WORKERS = 2
LIVEZ_P99_MS = 50.0
BUDGET_MB = 900.0
"""Of the service, its workers and its sandbox: what two workers may decode at a time is most of it."""


def main(names: Sequence[str]) -> int:
    """The exit status."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')}\n")
    print("| attack | answers | s | /livez p50, p99 ms | peak MB | held |\n|---|---|---|---|---|---|")
    return asyncio.run(_all(names or [*ATTACKS, SCHEMAS, UPSTREAM]))


async def _all(names: Sequence[str]) -> int:
    faults = 0
    with running_service(image_workers=WORKERS, image_timeout_s=5) as service:
        for name in names:
            if name in ATTACKS:
                faults += await _attacked(name, service, ATTACKS[name])
    if SCHEMAS in names:
        with running_service(image_workers=WORKERS, admin_key=guessing.KEY) as service:
            service.client.headers["x-api-key"] = guessing.KEY
            faults += await _attacked(SCHEMAS, service, guessing.schemas)
    if UPSTREAM in names:
        async with _behind_it() as service:
            faults += await _attacked(UPSTREAM, service, upstream.asked_of_it, answered=False)
    return 1 if faults else 0


@asynccontextmanager
async def _behind_it() -> AsyncGenerator[Running]:
    """A service in front of the upstream that misbehaves, impatient so that it takes no hour."""
    limits = {"upstream_timeout_s": 4, "upstream_idle_timeout_s": 2, "upstream_max_retries": 1}
    async with upstream.misbehaving() as url:
        opening = running_service(url, image_workers=WORKERS, **limits)
        service = await asyncio.to_thread(opening.__enter__)
        try:
            yield service
        finally:
            await asyncio.to_thread(opening.__exit__, None, None, None)


async def _attacked(name: str, service: Running, attack: Attack, *, answered: bool = True) -> int:
    """How many things did not hold; prints the row."""
    url = str(service.client.base_url)
    service.client.get("/readyz").raise_for_status()
    began = time.perf_counter()
    with watched(url, service.pid) as seen:
        statuses = await attack(url)
    taken_s = time.perf_counter() - began
    faults = await asyncio.to_thread(_faults, service, statuses, seen, answered=answered)
    percentiles = statistics.quantiles(seen.health_ms, n=100) if len(seen.health_ms) > 1 else [0.0] * 99
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    health = f"{percentiles[49]:.1f}, {percentiles[98]:.1f}"
    held = "yes" if not faults else "; ".join(faults)
    print(f"| {name} | {answers} | {taken_s:.1f} | {health} | {seen.peak_mb:.0f} | {held} |", flush=True)
    return len(faults)


def _faults(service: Running, statuses: sockets.Statuses, seen: Seen, *, answered: bool) -> list[str]:
    """What did not hold during the attack, or does not now."""
    faults: list[str] = []
    if any(status.startswith("500") or "another shape" in status for status in statuses):
        faults.append("an answer that must not be")
    if len(seen.health_ms) > 1 and statistics.quantiles(seen.health_ms, n=100)[98] > LIVEZ_P99_MS:
        faults.append(f"/livez over {LIVEZ_P99_MS:g} ms")
    if seen.peak_mb > BUDGET_MB:
        faults.append(f"over {BUDGET_MB:g} MB")
    if service.client.get("/readyz").status_code != OK or len(service.workers) != WORKERS:
        faults.append("not ready, or a worker is missing")
    if answered and _a_picture(service.client) != OK:
        faults.append("the next picture fails")
    if any(line.startswith("Traceback") for line in service.log):
        faults.append("a traceback in the log")
        service.log.clear()
    if service.client.get("/v1/usage/requests", params={"state": "reserved"}).json()["requests"]:
        faults.append("money left reserved")
    return faults


def _a_picture(client: httpx2.Client) -> int:
    buffer = BytesIO()
    Image.effect_noise((640, 480), 60).save(buffer, "TIFF")
    return client.post("/v1/analyze", files={"image": buffer.getvalue()}).status_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
