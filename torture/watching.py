"""What a bystander sees of a service under attack: how soon /livez answers, and how much memory there is in use.

A process of its own, so that the attackers' work does not look like the service's.

    python -m torture.watching URL PID [PID ...]      # until its standard input ends; then one line of JSON
"""

import json
import select
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

from bench.load import memory_mb

_EVERY_S = 0.02


@dataclass(slots=True)
class Seen:
    """Milliseconds of each answer of /livez, and the most memory at a time in MB."""

    health_ms: list[float] = field(default_factory=list)
    peak_mb: float = 0.0


@contextmanager
def watched(url: str, pid: int) -> Generator[Seen]:
    """What is seen while the block runs; filled in at its end."""
    seen = Seen()
    command = [sys.executable, "-m", "torture.watching", url, str(pid)]
    watching = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    watching.stdout.readline()  # it has begun
    try:
        yield seen
    finally:
        told, _ = watching.communicate(timeout=60)
        found = json.loads(told)
        seen.health_ms, seen.peak_mb = found["health_ms"], found["peak_mb"]


def main(arguments: Sequence[str]) -> None:
    """Look until standard input ends."""
    url, pid = arguments
    seen = Seen()
    with httpx2.Client(base_url=url, timeout=30) as client:
        client.get("/livez").raise_for_status()
        print("begun", flush=True)
        while not select.select([sys.stdin], [], [], _EVERY_S)[0]:
            began = time.perf_counter()
            client.get("/livez").raise_for_status()
            seen.health_ms.append(1000 * (time.perf_counter() - began))
            seen.peak_mb = max(seen.peak_mb, memory_mb(int(pid)))
    print(json.dumps({"health_ms": seen.health_ms, "peak_mb": seen.peak_mb}))


if __name__ == "__main__":
    main(sys.argv[1:])
