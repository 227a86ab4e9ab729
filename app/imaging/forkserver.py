"""The service's side of its image workers: starts the fork server, gives a worker a job, learns how one ended.

The processes get nothing of the environment but what Python needs: a codec that a hostile file has taken over finds no
key.
"""

import os
import socket
import subprocess
import sys
from asyncio import get_running_loop, wait_for
from dataclasses import dataclass

import anyio
import msgspec

from app.imaging.jobs import END, ENDED, FORK, LENGTHS, PID, UNKNOWN, Job, Outcome, Task, framed, read_reply

_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
_ALLOCATION = {
    "MALLOC_TRIM_THRESHOLD_": "1048576",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "PILLOW_BLOCKS_MAX": "8",
}
"""Freed memory goes back to the machine at once, in pages large enough that this costs little.

A 12-megapixel JPEG takes 117 ms instead of 158, and a worker keeps 16 MB instead of 111 (two x86-64 cores, 2026-11-22).
Source: mallopt(3); the glibc manual, "Memory Allocation Tunables".
"""

_ANSWER_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 2.0
_LARGEST_HEAD_BYTES = 1_000_000
_LARGEST_FILE_BYTES = 64_000_000
"""Of a reply. The vendor takes 10 MB a picture; more is not a worker speaking."""


class WorkerGoneError(Exception):
    """The worker ended before its reply was whole."""


class WorkerLiesError(Exception):
    """The worker said what no worker says."""


class ForkServerError(Exception):
    """No worker can be had: the fork server does not answer, or the machine refuses a process."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker ended: its exit code, or the negative number of the signal, and its processor time."""

    exit_code: int
    cpu_s: float


class Worker:
    """One process, one job at a time. `cpu_s` is what it had taken when it last replied."""

    def __init__(self, pid: int, stream: socket.socket) -> None:
        """`stream` is the service's end of the worker's socket, non-blocking."""
        self.pid = pid
        self.jobs = 0
        self.cpu_s = 0.0
        self._stream = stream

    @property
    def gone(self) -> bool:
        """Whether an idle worker has ended by itself."""
        try:
            return self._stream.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def run(self, job: Job, data: bytes, cpu_s: int, memory_bytes: int) -> tuple[Outcome, bytes]:
        """What became of the job, and the file that came of it.

        Raises:
            WorkerGoneError, WorkerLiesError: it did not survive. After this, and after a cancellation, it is of no use.
        """
        loop = get_running_loop()
        self.jobs += 1
        try:
            await loop.sock_sendall(self._stream, framed(Task(job, cpu_s, memory_bytes), len(data)))
            await loop.sock_sendall(self._stream, data)
            head_bytes, file_bytes = LENGTHS.unpack(await self._receive(LENGTHS.size))
            if head_bytes > _LARGEST_HEAD_BYTES or file_bytes > _LARGEST_FILE_BYTES:
                raise WorkerLiesError
            reply = read_reply(await self._receive(head_bytes))
            made = await self._receive(file_bytes)
        except OSError as error:
            raise WorkerGoneError from error
        except msgspec.MsgspecError as error:
            raise WorkerLiesError from error
        self.cpu_s = reply.cpu_s
        return reply.outcome, bytes(made)

    def close(self) -> None:
        """Hang up; an idle worker ends by this."""
        self._stream.close()

    async def _receive(self, size: int) -> bytearray:
        loop = get_running_loop()
        received = bytearray(size)
        view, at = memoryview(received), 0
        while at < size:
            count = await loop.sock_recv_into(self._stream, view[at:])
            if not count:
                raise WorkerGoneError
            at += count
        return received


class ForkServer:
    """The process that forks workers; started when first needed, and again should it have died."""

    def __init__(self, max_address_space_bytes: int) -> None:
        """`max_address_space_bytes` bounds each worker."""
        self._max_address_space_bytes = max_address_space_bytes
        self._asking = anyio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start loading the codecs; returns at once."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - as socket has it
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        command = [sys.executable, "-P", "-m", "app.imaging.worker", str(self._max_address_space_bytes)]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**environment, **_ALLOCATION, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # an interrupt typed at the terminal is for the service to act on
            )
        self._control = ours

    async def fork(self) -> Worker:
        """A fresh worker.

        Raises:
            ForkServerError: there is none to be had.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                answer = await self._ask(FORK, PID.size, theirs)
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)  # noqa: FBT003 - as socket has it
        return Worker(PID.unpack(answer)[0], ours)

    async def end(self, worker: Worker) -> Ending | None:
        """How the worker ended: by itself, or now; None where it went with an earlier fork server.

        Raises:
            ForkServerError: nobody can say.
        """
        worker.close()
        ending = ENDED.unpack(await self._ask(END + PID.pack(worker.pid), ENDED.size))
        return None if ending == UNKNOWN else Ending(*ending)

    def close(self) -> None:
        """End the fork server, which ends its workers first; by force where it does not listen."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            try:
                self._process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._control = self._process = None

    async def _ask(self, question: bytes, answer_bytes: int, descriptor: socket.socket | None = None) -> bytes:
        """The fork server's answer; one question at a time, and, being shielded, never half of one.

        Raises:
            ForkServerError: it gave none.
        """
        answer = b""
        with anyio.CancelScope(shield=True):
            async with self._asking:
                if self._process is None or self._process.poll() is not None:
                    self.close()
                    self.start()
                try:
                    answer = await wait_for(self._exchange(question, answer_bytes, descriptor), _ANSWER_TIMEOUT_S)
                except (OSError, EOFError) as error:  # TimeoutError is an OSError
                    self.close()
                    raise ForkServerError from error
        return answer

    async def _exchange(self, question: bytes, answer_bytes: int, descriptor: socket.socket | None) -> bytes:
        if self._control is None:
            raise EOFError
        if descriptor is None:
            await get_running_loop().sock_sendall(self._control, question)
        else:
            socket.send_fds(self._control, [question], [descriptor.fileno()])
        answer = b""
        while len(answer) < answer_bytes:
            received = await get_running_loop().sock_recv(self._control, answer_bytes - len(answer))
            if not received:
                raise EOFError
            answer += received
        return answer
