"""Tokens that are long expired: they and their sums are deleted, their requests are not."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select

from app.database.sql import Database, open_database
from app.database.tables import buckets, keys, spending
from app.domain import Spender
from app.ledger import open_ledger
from tests.ledger.making import KEY, NOON, Clock, limited, reservation, settlement

pytestmark = pytest.mark.anyio

TOKEN = limited("token-1", requests_per_minute=10)


async def keep_key_and_token(database: Database, expires_at: datetime) -> None:
    common = {"name": "k", "admin": False, "created_at": NOON, "models": None}
    async with database.writing() as connection:
        await connection.execute(insert(keys).values(id=KEY.id, digest="1", **common))
        await connection.execute(
            insert(keys).values(id=TOKEN.id, digest="2", parent_id=KEY.id, expires_at=expires_at, **common)
        )


async def remembered(database: Database) -> set[str]:
    """Whom keys, sums and buckets name."""
    async with database.reading() as connection:
        names = [
            (await connection.execute(select(column))).scalars()
            for column in (keys.c.id, spending.c.key_id, buckets.c.key_id)
        ]
    return {name for some in names for name in some}


@pytest.mark.parametrize(
    ("after", "left"), [(timedelta(hours=1), {"key-1", "token-1"}), (timedelta(hours=1, seconds=1), {"key-1"})]
)
async def test_an_hour_after_its_end_a_token_is_forgotten(
    database_url: str, clock: Clock, after: timedelta, left: set[str]
) -> None:
    async with open_database(database_url) as database, open_ledger(database, clock, "one") as ledger:
        await keep_key_and_token(database, NOON)
        one = reservation(KEY, TOKEN)
        await ledger.reserve(one)
        await ledger.settle(one.id, settlement())
        clock.advance(seconds=after.total_seconds())
        await ledger.sweep()

        assert await remembered(database) == left
        [entry] = (await ledger.page()).entries
        assert (entry.token_id, (await ledger.spending_of(Spender("key-1"))).requests) == ("token-1", 1)


async def test_a_token_is_kept_while_a_request_of_it_runs(database_url: str, clock: Clock) -> None:
    async with open_database(database_url) as database, open_ledger(database, clock, "one") as ledger:
        await keep_key_and_token(database, NOON)
        one = reservation(KEY, TOKEN)
        await ledger.reserve(one)
        clock.advance(days=1)
        await ledger.beat()
        await ledger.sweep()
        running = await remembered(database)
        await ledger.settle(one.id, settlement())
        await ledger.sweep()

        assert (running, await remembered(database)) == ({"key-1", "token-1"}, {"key-1"})
