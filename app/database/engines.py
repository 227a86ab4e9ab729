"""What a database is to the rest of this package: how to read it, write it, and change its tables."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.writer import ThreadWriter

POOL_TIMEOUT_S = 10.0
"""Longest that anybody waits for a connection of the pool."""

MIGRATION_TIMEOUT_S = 120.0
"""Longest that a process waits, at start, for another that changes the tables."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The ways in. `migrating` keeps no connection; `migration_lock` is what it says first, inside its transaction.

    Where there is a `writer`, work that is written at once goes to it, and the two kinds of writers take turns.
    """

    reading: AsyncEngine
    writing: AsyncEngine
    migrating: AsyncEngine
    migration_lock: tuple[str, ...] = ()
    writer: ThreadWriter | None = None
