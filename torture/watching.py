"""What a bystander sees of a service under attack: how soon /livez answers, and how much memory there is in use.

A process of its own, so that the attackers' work does not look like the service's.
A probe is due every fiftieth of a second; one that could not be sent since the one before it still waited counts from
when it was due, or a stall of a second would count once where it should fifty times.

    python -m torture.watching URL PID [PID ...]      # until its standard input ends; then one line of JSON
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from threading import Thread
from urllib.parse import urlsplit

from bench.load import memory_mb
from tests.processes import PROC

OK = 200
_EVERY_S = 0.02
_MEMORY_EVERY_S = 0.1
_TIMEOUT_S = 30


@dataclass(slots=True)
class Seen:
    """Milliseconds of each answer of /livez, and the most memory at a time in MB."""

    health_ms: list[float] = field(default_factory=list)
    running_ms: list[float] = field(default_factory=list)
    """The same without the time in which neither had a core: what the service itself made of it, on a busy machine."""
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
        seen.health_ms, seen.running_ms, seen.peak_mb = found["health_ms"], found["running_ms"], found["peak_mb"]


def main(arguments: Sequence[str]) -> None:
    """Look until standard input ends."""
    url, pid = arguments
    seen = Seen()
    looking = Thread(target=_look_at_memory, args=(seen, int(pid)), daemon=True)
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
    _probe(connection)
    print("begun", flush=True)
    looking.start()
    due_s = time.perf_counter()
    while not select.select([sys.stdin], [], [], max(0.0, due_s - time.perf_counter()))[0]:
        before_s = _without_a_core_s(os.getpid()) + _without_a_core_s(int(pid))
        _probe(connection)
        answered_s = time.perf_counter()
        without_s = _without_a_core_s(os.getpid()) + _without_a_core_s(int(pid)) - before_s
        while due_s < answered_s:
            seen.health_ms.append(1000 * (answered_s - due_s))
            seen.running_ms.append(max(0.0, 1000 * (answered_s - due_s - without_s)))
            due_s += _EVERY_S
    print(json.dumps({"health_ms": seen.health_ms, "running_ms": seen.running_ms, "peak_mb": seen.peak_mb}))


def _probe(connection: HTTPConnection) -> None:
    connection.request("GET", "/livez")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == OK, answer.status


def _without_a_core_s(pid: int) -> float:
    """How long that process's first thread has been ready to run while others had the processors."""
    return int((PROC / str(pid) / "task" / str(pid) / "schedstat").read_text("ascii").split()[1]) / 1e9


def _look_at_memory(seen: Seen, pid: int) -> None:
    while True:
        seen.peak_mb = max(seen.peak_mb, memory_mb(pid))
        time.sleep(_MEMORY_EVERY_S)


if __name__ == "__main__":
    main(sys.argv[1:])
