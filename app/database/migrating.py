"""Brings the tables up to date at start: one process at a time, all of the way or none of it."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from app.database.engines import MIGRATION_TIMEOUT_S, Engines
from app.database.failures import DatabaseUnusableError

_HISTORY = Path(__file__).parent / "migrations"

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
    revision = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory(str(_HISTORY))
    known = {step.revision for step in script.walk_revisions()}
    if revision is not None and revision not in known:
        message = (
            f"the tables are at revision {revision}, which this version does not know ({script.get_current_head()} is "
            "its last): a newer version has used this database; start that one, or restore a backup from before it"
        )
        raise DatabaseUnusableError(message)
    return revision == script.get_current_head()


def _upgrade(connection: Connection) -> None:
    """All migrations in the caller's transaction; another process may have run them while this one waited."""
    if _is_current(connection):
        return
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_HISTORY).replace("%", "%%"))
    command.upgrade(config, "head")
    _log.info("the tables of the database are at revision %s", ScriptDirectory(str(_HISTORY)).get_current_head())


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
