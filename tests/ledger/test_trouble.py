"""Whether money can be written down now, as `/readyz` asks: reading is tried, writing is known from the heartbeat."""

import pytest
from sqlalchemy.exc import OperationalError

from app.database.sql import open_database
from app.ledger import open_ledger
from tests.ledger.faults import Doored
from tests.ledger.making import Clock, opened

pytestmark = pytest.mark.anyio


async def test_a_database_that_answers_and_takes_writes_is_no_trouble(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        assert await ledger.trouble() is None


async def test_a_database_that_says_nothing_is_given_up(clock: Clock) -> None:
    async with open_database("sqlite://") as real:
        database = Doored(real)
        async with open_ledger(database, clock, "one", answer_s=0.001) as ledger:
            database.silent = True
            assert await ledger.trouble() == "the database does not answer"


async def test_a_database_that_takes_no_writes_is_known_by_the_heartbeat(clock: Clock) -> None:
    async with open_database("sqlite://") as real:
        database = Doored(real)
        async with open_ledger(database, clock, "one") as ledger:
            database.failures = 1
            with pytest.raises(OperationalError):
                await ledger.beat()
            found = await ledger.trouble()
            await ledger.beat()

            assert (found, await ledger.trouble()) == ("the database takes no writes", None)
