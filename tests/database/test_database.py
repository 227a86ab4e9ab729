"""The database itself, SQLite and PostgreSQL alike: what is kept, what is undone, who waits for whom."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import DBAPIError, StatementError

from app.database.failures import DatabaseUnusableError
from app.database.sql import Database, open_database
from app.database.sqlite import refuse_old
from app.database.tables import instances, keys, secrets
from tests.postgres import Postgres

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def keep(database: Database, name: str, value: str = "0") -> None:
    async with database.writing() as connection:
        await connection.execute(insert(secrets).values(name=name, value=value, created_at=NOON))


async def kept(database: Database) -> dict[str, str]:
    async with database.reading() as connection:
        return {row.name: row.value for row in await connection.execute(select(secrets))}


async def count_up(database: Database) -> None:
    """Read a number, then write it: the order in which transactions get into each other's way."""
    async with database.writing() as connection:
        value = (await connection.execute(select(secrets.c.value).with_for_update())).scalar_one()
        await connection.execute(update(secrets).values(value=str(int(value) + 1)))


async def cancelled_in_a_statement(database: Database) -> None:
    long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000) SELECT max(i) FROM n"
    async with asyncio.timeout(0.05), database.writing() as connection:
        await connection.execute(delete(secrets))
        await connection.exec_driver_sql(long)


async def test_what_was_written_is_there_when_the_database_is_opened_again(database_url: str) -> None:
    async with open_database(database_url) as database:
        await keep(database, "a", "1")

    async with open_database(database_url) as database:
        assert await kept(database) == {"a": "1"}


async def test_a_block_that_raises_is_undone(database_url: str) -> None:
    async with open_database(database_url) as database:
        with suppress(ZeroDivisionError):
            async with database.writing() as connection:
                await connection.execute(insert(secrets).values(name="a", value="1", created_at=NOON))
                raise ZeroDivisionError

        assert await kept(database) == {}


async def test_a_reader_cannot_write(database_url: str) -> None:
    async with open_database(database_url) as database:
        with pytest.raises(DBAPIError, match=r"readonly|read-only"):
            async with database.reading() as connection:
                await connection.execute(delete(secrets))


async def test_a_reader_does_not_wait_for_a_writer(database_url: str) -> None:
    async with open_database(database_url) as database, database.writing() as connection:
        await connection.execute(insert(secrets).values(name="a", value="1", created_at=NOON))

        assert await kept(database) == {}


async def test_writers_of_one_process_take_turns(database_url: str) -> None:
    async with open_database(database_url) as database:
        await keep(database, "count")
        await asyncio.gather(*[count_up(database) for _ in range(40)])

        assert await kept(database) == {"count": "40"}


async def test_writers_of_two_processes_take_turns(database_url: str) -> None:
    async with open_database(database_url) as one, open_database(database_url) as other:
        await keep(one, "count")
        await asyncio.gather(*[count_up(database) for _ in range(20) for database in (one, other)])

        assert await kept(other) == {"count": "40"}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite+aiosqlite:///:memory:"])
async def test_a_database_in_memory_is_one_for_every_task(url: str) -> None:
    async with open_database(url) as database, open_database(url) as another:
        await keep(database, "count")
        await asyncio.gather(*[count_up(database) for _ in range(20)])

        assert (await kept(database), await kept(another)) == ({"count": "20"}, {})


async def test_a_writer_that_is_cancelled_in_a_statement_holds_up_nobody(database_url: str) -> None:
    async with open_database(database_url) as database:
        await keep(database, "a")
        with pytest.raises(TimeoutError):
            await cancelled_in_a_statement(database)

        await keep(database, "b")
        assert await kept(database) == {"a": "0", "b": "0"}


async def test_a_database_in_memory_outlives_a_task_that_is_cancelled() -> None:
    async with open_database("sqlite://") as database:
        await keep(database, "a")
        with pytest.raises(TimeoutError):
            await cancelled_in_a_statement(database)

        assert await kept(database) == {"a": "0"}


async def test_an_instant_comes_back_aware_and_in_utc(database_url: str) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    async with open_database(database_url) as database:
        async with database.writing() as connection:
            await connection.execute(insert(instances).values(id="i", started_at=elsewhere, seen_at=NOON))
        async with database.reading() as connection:
            [row] = await connection.execute(select(instances).where(instances.c.started_at <= elsewhere))

    assert (row.started_at, row.started_at.tzinfo) == (NOON, UTC)


async def test_a_time_without_a_zone_is_refused(database_url: str) -> None:
    async with open_database(database_url) as database:
        with pytest.raises(StatementError, match="an instant needs a time zone"):
            async with database.reading() as connection:
                await connection.execute(select(instances).where(instances.c.seen_at < datetime(2026, 11, 22)))  # noqa: DTZ001 - the point of the test


async def test_a_token_dies_with_its_key(database_url: str) -> None:
    common = {"admin": False, "created_at": NOON, "models": None}
    async with open_database(database_url) as database:
        async with database.writing() as connection:
            await connection.execute(insert(keys).values(id="key", name="k", digest="1", **common))
            await connection.execute(insert(keys).values(id="token", name="t", digest="2", parent_id="key", **common))
        async with database.writing() as connection:
            await connection.execute(delete(keys).where(keys.c.id == "key"))
        async with database.reading() as connection:
            assert (await connection.execute(select(keys))).all() == []


async def test_no_list_of_models_is_null_and_not_the_json_of_it(database_url: str) -> None:
    async with open_database(database_url) as database:
        async with database.writing() as connection:
            values = {"id": "key", "name": "k", "digest": "1", "admin": False, "created_at": NOON, "models": None}
            await connection.execute(insert(keys).values(values))
        async with database.reading() as connection:
            found = await connection.execute(select(keys.c.id).where(keys.c.models.is_(None)))
            assert found.scalars().all() == ["key"]


async def test_what_sqlite_has_committed_is_on_the_disk(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path}/new/a.db") as database, database.writing() as connection:
        settings = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]

    assert settings == ["wal", 2, 1, 5_000]


@pytest.mark.parametrize("version", [(3, 35, 0), (3, 40, 1), (4, 0, 0)])
async def test_a_sqlite_that_is_new_enough_is_taken(version: tuple[int, ...]) -> None:
    refuse_old(version)


async def test_a_sqlite_that_is_too_old_is_refused_in_a_sentence() -> None:
    with pytest.raises(DatabaseUnusableError, match=r"^SQLite 3\.34\.1 is too old, 3\.35 is needed: use .+$"):
        refuse_old((3, 34, 1))


async def test_work_that_is_handed_over_is_committed_or_undone_whole(database_url: str) -> None:
    def write(connection: Connection, divisor: int) -> int:
        connection.execute(insert(secrets).values(name=str(divisor), value="1", created_at=NOON))
        return 6 // divisor

    async with open_database(database_url) as database:
        assert await database.write(partial(write, divisor=2)) == 3
        with pytest.raises(ZeroDivisionError):
            await database.write(partial(write, divisor=0))

        assert await kept(database) == {"2": "1"}


async def test_work_that_is_handed_over_waits_for_other_writers_and_they_for_it(database_url: str) -> None:
    def count(connection: Connection) -> None:
        value = connection.execute(select(secrets.c.value).with_for_update()).scalar_one()
        connection.execute(update(secrets).values(value=str(int(value) + 1)))

    async with open_database(database_url) as database:
        await keep(database, "count")
        await asyncio.gather(*[turn for _ in range(20) for turn in (count_up(database), database.write(count))])

        assert await kept(database) == {"count": "40"}


async def test_every_wait_for_postgresql_has_a_deadline(postgres: Postgres) -> None:
    async with open_database(postgres.fresh_database()) as database, database.reading() as connection:
        settings = [
            (await connection.exec_driver_sql(f"SHOW {name}")).scalar_one()
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        ]

    assert settings == ["30s", "10s", "30s"]


async def test_a_connection_that_postgresql_ended_is_replaced(postgres: Postgres) -> None:
    url = postgres.fresh_database()
    end_the_others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with open_database(url) as database, open_database(url) as other:
        await keep(database, "a")
        async with other.reading() as connection:
            await connection.exec_driver_sql(end_the_others)

        assert await kept(database) == {"a": "0"}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hidden@127.0.0.1:1/d",
        "postgresql://someone:hidden@/d?host=/nowhere",
        "sqlite:////proc/a/b",
    ],
)
async def test_a_database_that_cannot_be_opened_is_told_without_the_password(url: str) -> None:
    with pytest.raises(DatabaseUnusableError, match=r"^the database cannot be opened: .") as raised:
        async with open_database(url):
            pass

    assert "hidden" not in str(raised.value)


async def test_a_database_that_the_server_does_not_have_is_named(postgres: Postgres) -> None:
    url = postgres.fresh_database().replace("/test_", "/missing_")

    with pytest.raises(DatabaseUnusableError, match=r'database "missing_\w+" does not exist'):
        async with open_database(url):
            pass
