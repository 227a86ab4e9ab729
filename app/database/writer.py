"""The thread that writes a file of SQLite: a whole transaction is handed to it at once, not every statement of it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from queue import SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from sqlalchemy import Connection, Engine

TURN_TIMEOUT_S = 10.0
"""Longest that a writer waits for those of its own process, and that it keeps them waiting."""

_Result = TypeVar("_Result")


class ThreadWriter:
    """One connection, one thread, one transaction at a time, in the order in which they are asked for."""

    def __init__(self, engine: Engine) -> None:
        """The engine keeps one connection, and is closed with this."""
        self._engine = engine
        self._connection: Connection | None = None
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="sqlite-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Connection], _Result]) -> _Result:
        """What the work gives back, committed; it goes on where the caller leaves meanwhile."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[_Result] = loop.create_future()

        def job() -> None:
            try:
                result = self._transact(work)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
                loop.call_soon_threadsafe(_fail, outcome, error)
            else:
                loop.call_soon_threadsafe(_tell, outcome, result)

        self._jobs.put(job)
        return await outcome

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """A time in which the thread does not write: SQLite's own wait is a poll that can starve one.

        Raises:
            TimeoutError: what is before it takes longer than `TURN_TIMEOUT_S`.
        """
        loop = asyncio.get_running_loop()
        begun: asyncio.Future[None] = loop.create_future()
        ended = Event()

        def job() -> None:
            loop.call_soon_threadsafe(_tell, begun, None)
            ended.wait(TURN_TIMEOUT_S)

        self._jobs.put(job)
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await begun
            yield
        finally:
            ended.set()

    async def close(self) -> None:
        """What was asked for is written, then nothing any more, and the file is closed."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # it holds what was written, until the next one comes
        self._let_go()
        self._engine.dispose()

    def _transact(self, work: Callable[[Connection], _Result]) -> _Result:
        """One connection for all of them, but after an error, for who knows in which state that has left it."""
        connection = self._connection = self._connection or self._engine.connect()
        try:
            with connection.begin():
                return work(connection)
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        """Give the connection back to the pool, which rolls back whatever was left in it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _tell(outcome: "asyncio.Future[_Result]", result: _Result) -> None:
    if not outcome.done():
        outcome.set_result(result)


def _fail(outcome: "asyncio.Future[_Result]", error: BaseException) -> None:
    if not outcome.done():
        outcome.set_exception(error)
