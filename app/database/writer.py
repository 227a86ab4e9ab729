"""The thread that writes a file of SQLite: a whole transaction is handed to it at once, not every statement of it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine

TURN_TIMEOUT_S = 10.0
"""Longest that a writer waits for those of its own process."""

_Result = TypeVar("_Result")


class ThreadWriter:
    """One connection, one thread, one transaction at a time."""

    def __init__(self, engine: Engine) -> None:
        """The engine keeps one connection, and is closed with this."""
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """A time in which nobody else of this process writes: SQLite's own wait is a poll that can starve one.

        Raises:
            TimeoutError: somebody else writes for longer than `TURN_TIMEOUT_S`.
        """
        async with asyncio.timeout(TURN_TIMEOUT_S):
            await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    async def write(self, work: Callable[[Connection], _Result]) -> _Result:
        """What the work gives back, committed; where the caller leaves meanwhile, the turn ends when the work does."""
        async with self.turn():
            writing = asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)
            try:
                return await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait([writing])
                raise

    async def close(self) -> None:
        """Nothing is written any more, and the file is closed."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown()

    def _transact(self, work: Callable[[Connection], _Result]) -> _Result:
        with self._engine.begin() as connection:
            return work(connection)
