"""A real database behind a door that a test can hold shut, that fails or loses an answer, and counts who enters."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.sql import Database, Result


class Doored(Database):
    """The database of another, for writing only through the door."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self._open = asyncio.Event()
        self._open.set()
        self.knocked = asyncio.Event()
        self.failures = 0
        self.losing = False
        self.silent = False
        self.transactions = 0

    def shut(self) -> None:
        """From now on writers wait before the door; `knocked` tells that one does."""
        self._open.clear()
        self.knocked.clear()

    def open(self) -> None:
        self._open.set()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        if self.silent:
            await asyncio.Event().wait()
        async with self._real.reading() as connection:
            yield connection

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        self.knocked.set()
        await self._open.wait()
        self.transactions += 1
        if self.failures:
            self.failures -= 1
            raise OperationalError("UPDATE", {}, Exception("the database is away"))
        result = await self._real.write(work)
        if self.losing:
            self.losing = False
            raise ConnectionResetError("it was written, and the answer is lost")
        return result
