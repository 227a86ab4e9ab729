"""Brings the tables up to date at start: one process at a time, all of the way or none of it.

Alembic is loaded only where there is something to do: with what it brings along it takes 9 MB for good.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, inspect

from app.database.engines import MIGRATION_TIMEOUT_S, Engines
from app.database.failures import DatabaseUnusableError

_HISTORY = Path(__file__).parent / "migrations"

_TABLE, _REVISION = "alembic_version", "SELECT version_num FROM alembic_version"
"""Where alembic keeps the revision of the tables. Source: its documents, "Tutorial", "Running our First Migration"."""

_POLL_S = 0.01

_log = logging.getLogger(__name__)

_alembic = Lock()
"""Held while a migration runs: alembic keeps the one in progress in variables of its modules, of one process."""


async def migrate(engines: Engines) -> None:
    """Run the migrations that the database has not seen; done in a moment where there are none.

    Raises:
        DatabaseUnusableError: the database has seen migrations that this program does not know.
    """
    async with engines.reading.connect() as connection:
        if await connection.run_sync(_is_current):
            return
    async with _one_in_this_process(), engines.migrating.begin() as connection:
        for statement in engines.migration_lock:
            await connection.exec_driver_sql(statement)
        await connection.run_sync(_upgrade)


def _is_current(connection: Connection) -> bool:
    known = _known()
    found = connection.exec_driver_sql(_REVISION).scalar() if inspect(connection).has_table(_TABLE) else None
    if found is not None and found not in known:
        message = (
            f"the tables are at revision {found}, which this version does not know ({known[-1]} is its last): a newer "
            "version has used this database; start that one, or restore a backup from before it"
        )
        raise DatabaseUnusableError(message)
    return found == known[-1]


def _known() -> list[str]:
    """The revisions of this version, the last one at the end; files of migrations are named for them."""
    return sorted(path.stem[1:].split("_")[0] for path in (_HISTORY / "versions").glob("v*.py"))


def _upgrade(connection: Connection) -> None:
    """All migrations in the caller's transaction; another process may have run them while this one waited."""
    if _is_current(connection):
        return
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_HISTORY).replace("%", "%%"))
    command.upgrade(config, "head")
    _log.info("the tables of the database are at revision %s", _known()[-1])


@asynccontextmanager
async def _one_in_this_process() -> AsyncGenerator[None]:
    """The lock, waited for without blocking the loop, for other loops may run in other threads."""
    async with asyncio.timeout(MIGRATION_TIMEOUT_S):
        while not _alembic.acquire(blocking=False):  # noqa: ASYNC110 - an event cannot be set from another loop
            await asyncio.sleep(_POLL_S)
    try:
        yield
    finally:
        _alembic.release()
