"""Asks the judging processes: started when they are first needed, ended when they think for too long."""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from app.schemas.records import Fault, Question, Reading, Verdict

MAX_SCHEMA_BYTES = 200_000
"""The service's own choice."""

PROCESSES = 2
"""How many judge at a time, so that one hostile schema does not hold up everybody."""

_MAX_LINE_BYTES = 64_000_000
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
"""All that a judging process gets of the environment: no key."""

_COMMAND = (sys.executable, "-P", "-m", "app.schemas.worker")

_Kind = TypeVar("_Kind", Verdict, Reading)


class JudgeLostError(Exception):
    """The process ended before it had answered, or had to be ended; the text says which."""


class Judge:
    """Checks schemas and reads answers by them, each within `timeout_s`."""

    def __init__(self, timeout_s: float) -> None:
        """No process is started yet."""
        self._timeout_s = timeout_s
        self._turns = anyio.CapacityLimiter(PROCESSES)
        self._idle: list[Process] = []

    async def check(self, schema: str) -> Verdict:
        """What is to be known of that schema before it is used."""
        size_bytes = len(schema.encode())
        if size_bytes > MAX_SCHEMA_BYTES:
            return Verdict(fault=Fault("$", f"it is {size_bytes} bytes long; the limit is {MAX_SCHEMA_BYTES}"))
        try:
            return await self._ask(Question(schema), Verdict)
        except JudgeLostError as error:
            return Verdict(fault=Fault("$", f"checking it {error}"))

    async def read(self, schema: str, text: str) -> Reading:
        """What that text holds by a schema that was checked."""
        try:
            return await self._ask(Question(schema, text), Reading)
        except JudgeLostError as error:
            return Reading(faults=(Fault("$", f"validating by the schema {error}"),), hopeless=True)

    async def close(self) -> None:
        """End every process."""
        while self._idle:
            await _end(self._idle.pop())

    async def _ask(self, question: Question, kind: type[_Kind]) -> _Kind:
        async with self._turns:
            process = self._idle.pop() if self._idle else await _started()
            try:
                with anyio.fail_after(self._timeout_s):
                    line = await _exchanged(process, msgspec.json.encode(question))
            except TimeoutError:
                await _end(process)
                raise JudgeLostError(f"took more than {self._timeout_s:g} s, the limit") from None
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.DelimiterNotFound):
                await _end(process)
                raise JudgeLostError("took more than a process may have") from None
            except BaseException:
                await _end(process)
                raise
            self._idle.append(process)
            return msgspec.json.decode(line, type=kind)


@asynccontextmanager
async def open_judge(timeout_s: float) -> AsyncGenerator[Judge]:
    """A judge, whose processes end on exit."""
    judge = Judge(timeout_s)
    try:
        yield judge
    finally:
        await judge.close()


async def _started() -> Process:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return await anyio.open_process(
        _COMMAND,
        stderr=None,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,  # an interrupt typed at the terminal is for the service to act on
    )


async def _exchanged(process: Process, line: bytes) -> bytes:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101 - as above
    await process.stdin.send(line + b"\n")
    return await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", _MAX_LINE_BYTES)


async def _end(process: Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.kill()
        await process.aclose()
