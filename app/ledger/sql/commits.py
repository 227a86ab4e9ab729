"""How writes of the ledger become durable: one transaction each, or many that share one, each with its own outcome."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from app.database.sql import Database
from app.errors import AppError

Result = TypeVar("Result")
Write: TypeAlias = Callable[[Connection], Result]
"""What is to be written, inside a transaction of somebody else's; undone when it raises.

It may run in another thread, and more than once, so it keeps to what it was made with and to its connection.
"""

DATABASE_ERRORS = (SQLAlchemyError, OSError, TimeoutError)
"""What a database that is away, locked or full comes as; it may pass."""

_ITS_OWN = (AppError, LookupError, IntegrityError)
"""What says nothing of the writes beside it."""

_TOO_LATE = "the ledger was closed before this was written"

_MOST_TOGETHER = 64
"""Writes of one transaction, so that another process of the machine gets its turn."""


def may_be_written(error: BaseException) -> bool:
    """Whether the connection broke, so that nobody can tell from the error what became of the transaction."""
    return isinstance(error, OSError) or (isinstance(error, DBAPIError) and error.connection_invalidated)


class Commits(Protocol):
    """Runs a write and tells its outcome when it is on disk."""

    async def __call__(self, write: Write[Result]) -> Result: ...  # noqa: D102


@asynccontextmanager
async def open_commits(database: Database) -> AsyncGenerator[Commits]:
    """The way of writing that suits the database; whoever uses it has all outcomes before it is closed."""
    async with database.reading() as connection:
        alone = connection.dialect.name == "sqlite"
    if not alone:
        yield OneByOne(database)
        return
    group = GroupCommit(database)
    writer = asyncio.create_task(group.write_forever(), name="ledger writer")
    try:
        yield group
    finally:
        group.close()
        writer.cancel()
        with suppress(asyncio.CancelledError):
            await writer


class OneByOne:
    """A transaction for each: PostgreSQL runs those that share no row at the same time, and syncs them together."""

    def __init__(self, database: Database) -> None:
        """The database belongs to whoever opened it."""
        self._database = database

    async def __call__(self, write: Write[Result]) -> Result:
        """What the write gives back, committed."""
        return await self._database.write(write)


@dataclass(frozen=True, slots=True)
class _Waiting:
    write: Write[Any]
    outcome: asyncio.Future[Any]


class GroupCommit:
    """All writes that wait at a time in one transaction: SQLite has one writer, and syncs the disk for every commit."""

    def __init__(self, database: Database) -> None:
        """Nothing is written until somebody runs `write_forever`."""
        self._database = database
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._closed = False

    async def __call__(self, write: Write[Result]) -> Result:
        """What the write gives back, committed together with its neighbours'."""
        if self._closed:
            raise RuntimeError("the ledger is closed")
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        return await waiting.outcome

    async def write_forever(self) -> None:
        """Take what waits, write it, and again."""
        while True:
            together = [await self._queue.get()]
            while len(together) < _MOST_TOGETHER and not self._queue.empty():
                together.append(self._queue.get_nowait())
            await self._write(together)

    def close(self) -> None:
        """Take nothing more; whoever still waits is told so, rather than left to wait for good."""
        self._closed = True
        while not self._queue.empty():
            _fail([self._queue.get_nowait()], ConnectionAbortedError(_TOO_LATE))

    async def _write(self, together: Sequence[_Waiting]) -> None:
        try:
            told = await self._run(together)
        except asyncio.CancelledError:
            _fail(together, ConnectionAbortedError(_TOO_LATE))
            raise
        except Exception as error:  # noqa: BLE001 - it is the callers', each of whom gets it
            if len(together) == 1 or isinstance(error, (OperationalError, OSError)):
                _fail(together, error)
                return
            for waiting in together:  # nothing was written, and it is no fault of the database: find whose it is
                await self._write([waiting])
        else:
            _tell(together, told)

    async def _run(self, together: Sequence[_Waiting]) -> list[object]:
        """All of them, at first without savepoints, which take as long as the writes: most of the time none refuses."""
        writes = [waiting.write for waiting in together]
        try:
            return await self._database.write(partial(_bare, writes))
        except _ITS_OWN as refusal:
            if len(together) == 1:
                return [refusal]
        return await self._database.write(partial(_isolated, writes))


def _bare(writes: Sequence[Write[object]], connection: Connection) -> list[object]:
    """What they gave back; the first that refuses undoes them all."""
    return [write(connection) for write in writes]


def _isolated(writes: Sequence[Write[object]], connection: Connection) -> list[object]:
    """What each gave back, or the refusal that undid it alone.

    Any other error fails the whole transaction, for SQLite may have ended it: a full disk leaves no savepoint.
    """
    return [_in_savepoint(write, connection) for write in writes]


def _in_savepoint(write: Write[object], connection: Connection) -> object:
    try:
        with connection.begin_nested():
            return write(connection)
    except _ITS_OWN as refusal:
        return refusal


def _tell(together: Sequence[_Waiting], told: Sequence[object]) -> None:
    for waiting, outcome in zip(together, told, strict=True):
        if waiting.outcome.done():
            continue
        if isinstance(outcome, Exception):
            waiting.outcome.set_exception(outcome)
        else:
            waiting.outcome.set_result(outcome)


def _fail(together: Sequence[_Waiting], error: Exception) -> None:
    for waiting in together:
        if not waiting.outcome.done():
            waiting.outcome.set_exception(error)
