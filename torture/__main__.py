"""make torture: every attack in turn on a real service, and after each whether it is as well as before.

Loopback only, bounded in count and time. The attacker, the stand-in for the Claude API and whoever looks at /livez are
processes of their own; the first two are nicer than the service, for outside of here they have other processors.
Prints a table; the exit status is 1 where something did not hold.

    python -m torture [NAME ...]      # some of the attacks
"""

import asyncio
import os
import platform
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO

import httpx2
from PIL import Image

from tests.processes import Running, running_service
from torture import guessing
from torture.attacking import ATTACKS, NICENESS, SCHEMAS, UPSTREAM, Attacked, attacked
from torture.upstream import served
from torture.watching import Seen, watched

OK = 200
WORKERS = 2
LIVEZ_P99_MS = 50.0
MACHINE_BYTES = 1_000_000_000
"""Of a container that is enough for two cores, as docs/operations.md says; budgets are what they would be in it."""

BUDGETS = {
    "body_memory_bytes": MACHINE_BYTES // 16,
    "sending_memory_bytes": MACHINE_BYTES // 8,
    "image_memory_bytes": MACHINE_BYTES // 4,
}
BUDGET_MB = MACHINE_BYTES / 1e6
"""Above it the kernel would have killed somebody."""


def main(names: Sequence[str]) -> int:
    """The exit status."""
    cores = os.cpu_count() or 1
    print(f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, {time.strftime('%F')}\n")
    print(
        "| attack | rounds | answers | s | attacker's share | /livez p50, p99, worst ms "
        "| p99 without the wait for a core | peak MB | held |\n|---|---|---|---|---|---|---|---|---|"
    )
    return asyncio.run(_all(names or list(ATTACKS), cores))


async def _all(names: Sequence[str], cores: int) -> int:
    faults = 0
    plain = [name for name in names if name not in (SCHEMAS, UPSTREAM)]
    if plain:
        async with _before_the_sandbox(image_timeout_s=5) as service:
            for name in plain:
                faults += await _attacked(name, service, cores)
    if SCHEMAS in names:
        async with _before_the_sandbox(admin_key=guessing.KEY) as service:
            faults += await _attacked(SCHEMAS, service, cores)
    if UPSTREAM in names:
        impatient = {"upstream_timeout_s": 4, "upstream_idle_timeout_s": 2, "upstream_max_retries": 1}
        misbehaving = [sys.executable, "-m", "torture.upstream"]
        with served(misbehaving, NICENESS) as url:
            async with _service(url, **impatient) as service:
                faults += await _attacked(UPSTREAM, service, cores, answered=False)
    return 1 if faults else 0


@asynccontextmanager
async def _before_the_sandbox(**settings: object) -> AsyncGenerator[Running]:
    sandbox = [sys.executable, "-m", "app", "sandbox", "--port", "0"]
    with served(sandbox, NICENESS) as url:
        async with _service(url, **settings) as service:
            if "admin_key" in settings:
                service.client.headers["x-api-key"] = str(settings["admin_key"])
            _has_worked(service)
            yield service


def _has_worked(service: Running) -> None:
    """Have it load what its first request loads, which is no attacker's doing."""
    assert _a_picture(service.client) == OK


@asynccontextmanager
async def _service(upstream: str, **settings: object) -> AsyncGenerator[Running]:
    opening = running_service(upstream, image_workers=WORKERS, **BUDGETS, **settings)
    service = await asyncio.to_thread(opening.__enter__)
    try:
        yield service
    finally:
        await asyncio.to_thread(opening.__exit__, None, None, None)


async def _attacked(name: str, service: Running, cores: int, *, answered: bool = True) -> int:
    """How many things did not hold; prints the row."""
    url = str(service.client.base_url)
    service.client.get("/readyz").raise_for_status()
    with watched(url, service.pid) as seen:
        attack = await attacked(name, url)
    faults = await asyncio.to_thread(_faults, service, attack, seen, answered=answered)
    percentiles = statistics.quantiles(seen.health_ms, n=100)
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(attack.statuses.items()))
    share = attack.cpu_s / attack.taken_s / cores
    health = f"{percentiles[49]:.1f}, {percentiles[98]:.1f}, {max(seen.health_ms):.0f}"
    held = "yes" if not faults else "; ".join(faults)
    running = f"{statistics.quantiles(seen.running_ms, n=100)[98]:.1f}"
    told = (
        name,
        attack.rounds,
        answers,
        f"{attack.taken_s:.1f}",
        f"{share:.0%}",
        health,
        running,
        f"{seen.peak_mb:.0f}",
        held,
    )
    print(f"| {' | '.join(map(str, told))} |", flush=True)
    return len(faults)


def _faults(service: Running, attack: Attacked, seen: Seen, *, answered: bool) -> list[str]:
    """What did not hold during the attack, or does not now."""
    faults: list[str] = []
    if any(status.startswith("500") or "another shape" in status for status in attack.statuses):
        faults.append("an answer that must not be")
    if statistics.quantiles(seen.health_ms, n=100)[98] > LIVEZ_P99_MS:
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
