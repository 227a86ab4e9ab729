"""Migrations: they make what the tables say, once, wherever they start from and however many processes start."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.database import migrations
from app.database.address import PostgresAddress
from app.database.failures import DatabaseUnusableError
from app.database.postgresql import postgres_engines
from app.database.sql import open_database
from app.database.tables import metadata
from tests.postgres import Postgres

pytestmark = pytest.mark.anyio

LOADED = """
import asyncio, sys
from app.database.sql import open_database

async def main():
    async with open_database(sys.argv[1]):
        print("alembic" in sys.modules)

asyncio.run(main())
"""

OPENS = """
import asyncio, sys
from app.database.postgresql import postgres_engines
from app.database.sql import open_database

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    async with open_database(sys.argv[1]):
        pass

asyncio.run(main())
"""

FILES_AS_BEFORE = """
CREATE TABLE files (
    id VARCHAR(64) NOT NULL, owner VARCHAR(200) NOT NULL, vendor_id VARCHAR(200) NOT NULL, name VARCHAR(255) NOT NULL,
    media_type VARCHAR(200) NOT NULL, width_px INTEGER, height_px INTEGER, size_bytes INTEGER NOT NULL,
    sha256 VARCHAR(64) NOT NULL, created_at {instant} NOT NULL, PRIMARY KEY (id)
)
"""


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
    return compare_metadata(context, metadata)


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def open_and_close(url: str) -> None:
    async with open_database(url):
        pass


def plain_engine(url: str) -> AsyncEngine:
    """The database without any of our code."""
    if url.startswith("sqlite"):
        return create_async_engine(url)
    return create_async_engine("postgresql+asyncpg://", connect_args={"dsn": url})


async def run(url: str, *statements: str) -> None:
    engine = plain_engine(url)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def tables_of(url: str) -> set[str]:
    engine = plain_engine(url)
    async with engine.connect() as connection:
        found = await connection.run_sync(tables)
    await engine.dispose()
    return found


async def test_the_migrations_make_what_the_tables_say(database_url: str) -> None:
    async with open_database(database_url) as database, database.reading() as connection:
        assert await connection.run_sync(differences) == []
        assert await connection.run_sync(tables) == {*metadata.tables, "alembic_version"}


async def test_alembic_is_loaded_only_where_there_is_something_to_do(database_url: str) -> None:
    first, second = [
        subprocess.run(  # noqa: S603, ASYNC221 - our own script; nothing else runs on this loop
            [sys.executable, "-c", LOADED, database_url], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]

    assert (first, second) == ("True\n", "False\n")


def test_files_of_migrations_are_named_for_their_revisions() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))

    steps = [(Path(step.path).stem.split("_")[0], step.revision) for step in script.walk_revisions()]

    assert steps == [(f"v{revision}", revision) for _, revision in steps]
    assert [revision for _, revision in steps] == sorted((revision for _, revision in steps), reverse=True)


async def test_a_table_of_files_from_before_is_kept_with_its_rows(database_url: str) -> None:
    instant = "DATETIME" if database_url.startswith("sqlite") else "TIMESTAMP WITH TIME ZONE"
    await run(
        database_url,
        FILES_AS_BEFORE.format(instant=instant),
        "CREATE INDEX ix_files_owner ON files (owner)",
        "INSERT INTO files VALUES ('f', 'me', 'v', 'a.png', 'image/png', 1, 2, 3, 's', '2026-11-20 12:00:00.000000')",
    )

    async with open_database(database_url) as database, database.reading() as connection:
        assert await connection.run_sync(differences) == []
        assert (await connection.execute(text("SELECT id FROM files"))).scalars().all() == ["f"]


async def test_a_migration_that_fails_leaves_nothing_behind(database_url: str) -> None:
    await run(database_url, "CREATE TABLE secrets (whose INTEGER)")  # the last one that the migration makes

    with pytest.raises(DatabaseUnusableError, match="secrets"):
        await open_and_close(database_url)

    assert await tables_of(database_url) == {"secrets"}


async def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    await open_and_close(database_url)
    await run(database_url, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseUnusableError) as raised:
        await open_and_close(database_url)

    assert str(raised.value) == (
        "the tables are at revision 9999, which this version does not know (0002 is its last): a newer version has "
        "used this database; start that one, or restore a backup from before it"
    )


async def test_many_tasks_that_open_a_new_database_at_once_all_can(database_url: str) -> None:
    await asyncio.gather(*[open_and_close(database_url) for _ in range(5)])

    assert await tables_of(database_url) == {*metadata.tables, "alembic_version"}


async def test_processes_that_open_a_new_database_at_once_all_can(database_url: str) -> None:
    processes = [
        subprocess.Popen(  # noqa: S603, ASYNC220 - our own script; nothing else runs on this loop
            [sys.executable, "-c", OPENS, database_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all are ready, so that they begin together
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[1] for process in processes]

    assert said == [""] * len(processes)
    assert [process.returncode for process in processes] == [0] * len(processes)
    assert await tables_of(database_url) == {*metadata.tables, "alembic_version"}


async def test_a_process_waits_for_the_one_that_changes_the_tables_of_postgresql(postgres: Postgres) -> None:
    url = postgres.fresh_database()
    engines = postgres_engines(PostgresAddress(url))
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    async with engines.migrating.begin() as connection:
        [lock] = engines.migration_lock
        await connection.exec_driver_sql(lock)
        second = asyncio.create_task(open_and_close(url))
        async with asyncio.timeout(30):
            while not (await connection.execute(waiting)).scalar_one():
                pass  # the question takes its time
        made_meanwhile = await tables_of(url)
    await second

    assert made_meanwhile == set()
    assert await tables_of(url) == {*metadata.tables, "alembic_version"}


async def test_a_migration_leaves_logging_as_it_was() -> None:
    before = logging.getLogger("tests.made.before")
    handlers = list(logging.getLogger().handlers)

    await open_and_close("sqlite://")

    assert (before.disabled, logging.getLogger().handlers) == (False, handlers)


async def test_the_rows_of_a_ledger_from_before_batches_stood_for_one_request_each(database_url: str) -> None:
    columns = "id, at, key_id, endpoint, model, state, bound_nanousd, request_id, images, bytes_before, bytes_after"
    row = "'a', '2026-11-20 12:00:00.000000', 'k', '/v1/analyze', 'm', 'settled', 1, 'r', 1, 2, 3, 'i'"
    await open_and_close(database_url)
    await run(
        database_url,
        "DROP TABLE batches",
        "ALTER TABLE requests DROP COLUMN requests",
        "UPDATE alembic_version SET version_num = '0001'",
        f"INSERT INTO requests ({columns}, instance_id) VALUES ({row})",  # noqa: S608 - our own words
    )

    async with open_database(database_url) as database, database.reading() as connection:
        assert await connection.run_sync(differences) == []
        assert (await connection.execute(text("SELECT id, requests FROM requests"))).one() == ("a", 1)
