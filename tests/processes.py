"""The service as a process of its own, and what the kernel says of it and of the image workers that it started."""

import os
import re
import select
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, NamedTuple

import httpx2
import pytest

from tests.log_capture import keep

PROC = Path("/proc")


class Status(NamedTuple):
    """One process as /proc shows it; `state` is a letter, `Z` of a zombie."""

    pid: int
    state: str
    parent: int
    session: int


@dataclass(frozen=True, slots=True)
class Running:
    """A service that listens: a client for it, its log so far, and its process."""

    client: httpx2.Client
    log: list[str]
    pid: int

    @property
    def fork_server(self) -> int:
        """The pid of the process that forks its workers: the first child that leads a session of its own.

        Those that judge schemas come later, with the first schema.
        """
        return min(status.pid for status in statuses() if status.parent == self.pid and status.session == status.pid)

    @property
    def workers(self) -> list[int]:
        """The pids of its living image workers, in order."""
        fork_server = self.fork_server
        family = (status for status in statuses() if status.session == fork_server and status.state != "Z")
        return sorted(status.pid for status in family if status.pid != fork_server)

    @property
    def resident_bytes(self) -> int:
        """The memory of the service, its fork server and its workers; pages that they share count for each."""
        return sum(map(resident_bytes, (self.pid, self.fork_server, *self.workers)))

    @property
    def descriptors(self) -> int:
        """How many files, sockets and pipes the service has open."""
        return len(list((PROC / str(self.pid) / "fd").iterdir()))


@contextmanager
def running_service(upstream: str | None = None, **settings: object) -> Generator[Running]:
    """The service as `vision-proxy serve` starts it, once it listens; with its own sandbox, or that one `upstream`."""
    if not (PROC / "self" / "status").is_file():
        pytest.skip("this machine has no /proc, so nobody can say what a process takes")
    own = {"database_url": "sqlite:///:memory:", **settings}  # the keys of one test must not lock another's service
    variables = {f"VISION_PROXY_{name.upper()}": str(value) for name, value in own.items()}
    if upstream is not None:
        variables |= {"ANTHROPIC_BASE_URL": upstream, "ANTHROPIC_API_KEY": "test"}
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("COV_")} | variables,
    )
    assert process.stderr is not None
    log: list[str] = []
    reader: Thread | None = None
    try:
        url = _address(process.stderr, log)
        reader = Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()  # a full pipe would hold the service up
        with httpx2.Client(base_url=url, timeout=60) as client:
            yield Running(client, log, process.pid)
    finally:
        process.terminate()
        process.wait(20)
        if reader is not None:
            reader.join(20)
        keep(log)
        process.stderr.close()


def _address(stderr: IO[str], log: list[str]) -> str:
    for line in stderr:
        log.append(line)
        if found := re.search(r"running on (http://\S+)", line):
            return found[1]
    pytest.fail("it did not start:\n" + "".join(log))


def statuses() -> list[Status]:
    """Every process of this machine."""
    found: list[Status] = []
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            pid, _, rest = path.read_text("utf-8").partition(" ")
            state, parent, _, session = rest.rpartition(")")[2].split()[:4]
            found.append(Status(int(pid), state, int(parent), int(session)))
    return found


def resident_bytes(pid: int) -> int:
    """The memory of one process; 0 where it has ended."""
    try:
        pages = (PROC / str(pid) / "statm").read_text("ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def all_end(pids: Iterable[int], within_s: float = 20) -> bool:
    """Whether every one of those processes ends, those that have already included."""
    poll = select.poll()
    with ExitStack() as opened:
        for pid in pids:
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                opened.callback(os.close, descriptor)
                poll.register(descriptor, select.POLLIN)
                if not poll.poll(within_s * 1000):
                    return False
                poll.unregister(descriptor)
    return True


def descendants(pid: int) -> list[int]:
    """The processes that it started, and those that they did."""
    family = [pid]
    known = statuses()
    for parent in family:
        family += [status.pid for status in known if status.parent == parent]
    return family[1:]
