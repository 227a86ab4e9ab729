"""The processes in which pixels are touched: a fork server that loads the codecs once, and the workers it forks.

Run as `python -m app.imaging.worker` with one end of a socket pair as standard input. The fork server holds no picture
and no secret, starts no thread, and ends when its socket does; a worker ends with its own. See ADR 0007.
"""

import ctypes
import logging
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from traceback import extract_tb

from app.errors import ErrorCode, ImageError
from app.imaging.decode import Whole
from app.imaging.jobs import (
    END,
    ENDED,
    FORK,
    LENGTHS,
    PID,
    UNKNOWN,
    Job,
    Measure,
    Measured,
    Outcome,
    Refused,
    Rendered,
    Reply,
    framed,
    read_task,
)
from app.imaging.render import prepare

_NICENESS = 5
_IDLE_S = 0.5
_SLACK_BYTES = 128_000_000
_STATM = Path("/proc/self/statm")
_GROUP = Path("/proc/self/autogroup")
"""Where the kernel shares processors among sessions, niceness is nothing to those of other sessions, and ours is one.

Source: sched(7), "The autogroup feature".
"""

_PR_SET_PDEATHSIG = 1
"""Source: prctl(2)."""

_set_process: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "prctl", None)
"""Linux's way of tying the life of a process to its parent's."""

_log = logging.getLogger(__name__)


def main() -> None:
    """Fork a worker, or end one, each time it is asked; until the service has gone."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it complains of broken files, whose senders are told
    max_address_space_bytes = int(sys.argv[1])
    with suppress(OSError):
        _GROUP.write_text(str(_NICENESS), "ascii")
    workers, fork_server = set[int](), os.getpid()
    with socket.socket(fileno=os.dup(0)) as control:
        with Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), 0)  # else each worker would hold, as its standard input, the socket of all
        while True:
            command, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if command == FORK:
                [descriptor] = descriptors
                pid = os.fork()
                if pid == 0:
                    control.close()
                    _become_worker(socket.socket(fileno=descriptor), max_address_space_bytes, fork_server)
                workers.add(pid)
                os.close(descriptor)
                control.sendall(PID.pack(pid))
            elif command == END:
                [pid] = PID.unpack(_receive(control, PID.size))
                control.sendall(ENDED.pack(*(_end(pid) if pid in workers else UNKNOWN)))
                workers.discard(pid)
            else:
                for pid in workers:  # some may be at work for somebody who is no more
                    _end(pid)
                return


def _end(pid: int) -> tuple[int, float]:
    """How the worker ended, by itself or now, and the processor time of its life."""
    ended, status, usage = os.wait4(pid, os.WNOHANG)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def _become_worker(jobs: socket.socket, max_address_space_bytes: int, fork_server: int) -> None:
    """Do the jobs that come; never returns to the fork server's own loop."""
    status = 1
    try:
        _end_with(fork_server)
        os.nice(_NICENESS)  # health checks and other requests come first
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold somebody's picture
        with suppress(ValueError):  # macOS knows no such limit
            resource.setrlimit(resource.RLIMIT_AS, (max_address_space_bytes, max_address_space_bytes))
        _serve(jobs)
        status = 0
    finally:
        os._exit(status)


def _end_with(fork_server: int) -> None:
    """Have the kernel end this process when the fork server ends, for nobody else could."""
    if _set_process is not None:
        _set_process(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != fork_server:  # it has ended already
            os._exit(1)


def _serve(jobs: socket.socket) -> None:
    """One job after the other until the socket closes."""
    whole = Whole()
    while lengths := _next(jobs, whole):
        head_bytes, file_bytes = LENGTHS.unpack(lengths)
        task = read_task(_receive(jobs, head_bytes))
        data = _receive(jobs, file_bytes)
        _limit_processor_time(task.cpu_s)
        _limit_memory(task.memory_bytes + 2 * file_bytes)
        outcome, made = _outcome(task.job, data, whole)
        reply = Reply(outcome, time.process_time())
        jobs.sendall(framed(reply, len(made)))
        jobs.sendall(made)
        del data, made, outcome, reply, task


def _next(jobs: socket.socket, whole: Whole) -> bytes:
    """The lengths of the next message, nothing where the service has gone. What is not asked for soon is let go of."""
    ready, _, _ = select.select([jobs], [], [], _IDLE_S)
    if not ready:
        whole.forget()
    return _receive(jobs, LENGTHS.size)


def _outcome(job: Job, data: bytes, whole: Whole) -> tuple[Outcome, bytes]:
    """What became of the file. Whatever goes wrong here goes wrong with this one file."""
    try:
        if isinstance(job, Measure):
            from app.imaging.pdf import measure_pages  # noqa: PLC0415 - as in `decode`

            return Measured(measure_pages(data, job.max_pages)), b""
        image = prepare(data, job.facts, job.plan, whole)
    except ImageError as error:
        details = {name: value for name, value in error.details.items() if not isinstance(value, Mapping)}
        return Refused(error.code, error.message, details), b""
    except Exception as error:  # noqa: BLE001 - the boundary of the codecs: anything may come out of a broken file
        where = extract_tb(error.__traceback__)[-1]
        _log.warning("a picture made %s at %s:%s", type(error).__name__, where.name, where.lineno)
        return Refused(ErrorCode.IMAGE_UNDECODABLE, "the file is broken: it cannot be prepared", {}), b""
    return Rendered(image.media_type, image.size, image.operations, image.notices, image.sha256), image.data


def _limit_processor_time(cpu_s: int) -> None:
    """So much more for this job; past it the kernel ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime) + 1 + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _limit_memory(growth_bytes: int) -> None:
    """So much more address space for this job, and half as much again; past it the codec gets no more.

    The estimate is of memory that is touched; and what no header tells, as of a PDF, shall not take the machine's.
    """
    if not _STATM.is_file():  # not Linux
        return
    present_bytes = int(_STATM.read_text("ascii").split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = present_bytes + growth_bytes + growth_bytes // 2 + _SLACK_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _receive(source: socket.socket, size: int) -> bytes:
    """So many bytes; fewer where the other side has gone."""
    return source.recv(size, socket.MSG_WAITALL) if size else b""


if __name__ == "__main__":
    main()
