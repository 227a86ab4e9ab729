"""Opens the database: its tables up to date, its connections in two kinds, those that read and those that write."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.address import SqliteAddress, read_address
from app.database.engines import Engines
from app.database.failures import DatabaseUnusableError
from app.database.migrating import migrate
from app.database.postgresql import postgres_engines
from app.database.sqlite import sqlite_engines

Result = TypeVar("Result")


class Database:
    """The database, shared by every capability of a process."""

    def __init__(self, engines: Engines) -> None:
        """The engines are closed by whoever opened them."""
        self._engines = engines

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """A connection that only reads; SQLite shows it one moment, PostgreSQL one moment for each statement."""
        async with self._engines.reading.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """A connection in a transaction: on disk when the block ends, undone when it raises.

        On SQLite nobody else writes from its beginning on; never enter it twice at a time in one task.
        """
        writer = self._engines.writer
        async with nullcontext() if writer is None else writer.turn(), self._engines.writing.begin() as connection:
            yield connection

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """What the work gives back, all of it one transaction: on disk by then, or undone because it raised.

        The work awaits nothing: in a file of SQLite it runs in a thread, so that its statements are not handed to one
        each, which costs more than they do.
        """
        if self._engines.writer is not None:
            return await self._engines.writer.write(work)
        async with self.writing() as connection:
            return await connection.run_sync(work)


@asynccontextmanager
async def open_database(url: str) -> AsyncGenerator[Database]:
    """The database at that address, its tables made or brought up to date; closed on exit.

    Raises:
        ValueError: no address of a database.
        DatabaseUnusableError: it cannot be reached, or a newer version of this program has changed it.
    """
    async with AsyncExitStack() as opened:
        engines = await _opened(url, opened)
        yield Database(engines)


async def _opened(url: str, opened: AsyncExitStack) -> Engines:
    """The engines, migrated; every failure in one sentence, of which none repeats the address."""
    address = read_address(url)
    try:
        engines = sqlite_engines(address) if isinstance(address, SqliteAddress) else postgres_engines(address)
        for engine in (engines.migrating, engines.writing, engines.reading):
            opened.push_async_callback(engine.dispose)
        if engines.writer is not None:
            opened.push_async_callback(engines.writer.close)
        if address == SqliteAddress(None):
            await opened.enter_async_context(engines.migrating.connect())  # it lives as long as somebody is connected
        await migrate(engines)
    except (OSError, TimeoutError, SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        message = f"the database cannot be opened: {str(cause) or type(cause).__name__}"
        raise DatabaseUnusableError(message) from error
    return engines
