"""SQLite: two connections that write in turn, a few that only read, as the write-ahead log allows at the same time."""

import secrets
import sqlite3
from asyncio import CancelledError
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from sqlalchemy import AsyncAdaptedQueuePool, Engine, NullPool, PoolProxiedConnection, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.database.address import SqliteAddress
from app.database.engines import MIGRATION_TIMEOUT_S, POOL_TIMEOUT_S, Engines
from app.database.failures import DatabaseUnusableError
from app.database.writer import ThreadWriter

_BUSY_TIMEOUT_S = 5.0
"""Longest that a transaction waits for the writer of another process."""

_READERS = 4

_WRITING = (
    "PRAGMA journal_mode=WAL",
    # a row of the ledger must outlast a power cut before money may be spent; in NORMAL the log is not synced on commit
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)
_READING = (*_WRITING, "PRAGMA query_only=ON")


_OLDEST = (3, 35)
"""The first that knows RETURNING. Source: https://sqlite.org/releaselog/3_35_0.html, 2021-03-12"""


def refuse_old(version: Sequence[int]) -> None:
    """Nothing, where this SQLite can do what is asked of it.

    Raises:
        DatabaseUnusableError: it is too old.
    """
    if tuple(version) < _OLDEST:
        found = ".".join(map(str, version))
        message = f"SQLite {found} is too old, 3.35 is needed: use a Python with a newer one, or PostgreSQL"
        raise DatabaseUnusableError(message)


def sqlite_engines(address: SqliteAddress) -> Engines:
    """The file, whose folder is made where it is missing; without a path, a database in memory.

    Raises:
        DatabaseUnusableError: this machine's SQLite is too old.
    """
    refuse_old(sqlite3.sqlite_version_info)
    if address.path is None:
        return _in_memory()
    address.path.parent.mkdir(parents=True, exist_ok=True)
    url = _url(address.path)
    return Engines(
        reading=_pooled(url, _READERS, "BEGIN", _READING),
        writing=_pooled(url, 1, "BEGIN IMMEDIATE", _WRITING),
        migrating=_migrating(url),
        writer=ThreadWriter(_synchronous(address.path)),
    )


def _in_memory() -> Engines:
    """Takes turns on one connection; the name is what a second one, should the first be lost, finds it by.

    It is gone when nobody is connected: whoever opens it keeps a connection of `migrating`.
    """
    # a shared cache does not wait: it fails at once while a lost connection is still at its last statement
    kind = {"vfs": "memdb"} if sqlite3.sqlite_version_info >= (3, 36) else {"mode": "memory", "cache": "shared"}
    name = f"file:/vision-proxy-{secrets.token_hex(8)}"
    url = URL.create("sqlite+aiosqlite", database=name, query={**kind, "uri": "true"})
    only = _pooled(url, 1, "BEGIN IMMEDIATE", _WRITING)
    return Engines(reading=only, writing=only, migrating=_migrating(url))


def _url(path: Path) -> URL:
    return URL.create("sqlite+aiosqlite", database=str(path))


def _pooled(url: URL, size: int, begin: str, pragmas: Sequence[str]) -> AsyncEngine:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={"timeout": _BUSY_TIMEOUT_S, "isolation_level": None},
    )
    return _prepared(engine, begin, pragmas)


def _synchronous(path: Path) -> Engine:
    url = URL.create("sqlite+pysqlite", database=str(path))
    engine = create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": _BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
    )
    return _listened(engine, "BEGIN IMMEDIATE", _WRITING)


def _migrating(url: URL) -> AsyncEngine:
    """The immediate transaction is the lock: who comes second waits, and then finds the work done."""
    patient = {"timeout": MIGRATION_TIMEOUT_S, "isolation_level": None}
    return _prepared(create_async_engine(url, poolclass=NullPool, connect_args=patient), "BEGIN IMMEDIATE", _WRITING)


def _prepared(engine: AsyncEngine, begin: str, pragmas: Sequence[str]) -> AsyncEngine:
    _listened(engine.sync_engine, begin, pragmas)
    event.listen(engine.sync_engine, "invalidate", _roll_back)
    return engine


def _listened(engine: Engine, begin: str, pragmas: Sequence[str]) -> Engine:
    """Begins transactions in SQLAlchemy's hand, not the driver's, which knows no immediate ones.

    Immediate, because one that first reads and then writes cannot wait: two of them would wait for each other.
    """
    event.listen(engine, "connect", partial(_apply, pragmas))
    engine.dialect.do_begin = partial(_begin, begin)  # an event for it costs every statement its look for listeners
    return engine


def _apply(pragmas: Sequence[str], connection: DBAPIConnection, _: object) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(pragma)
    cursor.close()


def _begin(statement: str, dbapi_connection: PoolProxiedConnection) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute(statement)
    cursor.close()


def _roll_back(connection: DBAPIConnection, *_: object) -> None:
    """End the transaction of a task that was cancelled in the midst of a statement, or the database stays locked.

    Closing alone does not: SQLite keeps a connection, and its locks, as long as one of its cursors is somewhere.
    """
    with suppress(CancelledError):  # cancelled again while it waits: the roll back is on its way all the same
        connection.rollback()
