"""Many writes in one transaction of SQLite: each has its own outcome, and an error of one is nobody else's."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from app.database.sql import open_database
from app.ledger import open_ledger
from app.ledger.sql.commits import open_commits
from app.ledger.sql.instances import beat
from tests.ledger.faults import Doored
from tests.ledger.making import KEY, Clock, limited, opened, reservation

pytestmark = pytest.mark.anyio


async def test_those_who_wait_together_are_written_together(tmp_path: Path, clock: Clock) -> None:
    async with open_database(f"sqlite:///{tmp_path}/a.db") as real:
        database = Doored(real)
        async with open_ledger(database, clock, "one") as ledger:
            before = database.transactions
            await asyncio.gather(*[ledger.reserve(reservation()) for _ in range(200)])

            assert database.transactions - before <= 8
            assert (await ledger.spending_of(KEY)).requests == 200


async def test_a_refusal_undoes_no_neighbour(database_url: str, clock: Clock) -> None:
    poor = limited("key-2", budget_usd="0.5")
    async with opened(database_url, clock) as ledger:
        asked = [reservation((KEY, poor)[number % 2]) for number in range(20)]
        outcomes = await asyncio.gather(*[ledger.reserve(one) for one in asked], return_exceptions=True)

        assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True] * 10
        assert {entry.key_id for entry in (await ledger.page()).entries} == {"key-1"}
        assert (await ledger.spending_of(poor)).reserved_usd == 0


async def test_what_no_database_can_hold_fails_no_neighbour(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        asked = [reservation(), reservation(bound="10000000000"), reservation()]
        outcomes = await asyncio.gather(*[ledger.reserve(one) for one in asked], return_exceptions=True)

        assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
        assert (await ledger.spending_of(KEY)).reserved_usd == 2


async def test_the_same_id_twice_reserves_once(database_url: str, clock: Clock) -> None:
    one = reservation()
    async with opened(database_url, clock) as ledger:
        outcomes = await asyncio.gather(ledger.reserve(one), ledger.reserve(one), return_exceptions=True)

        assert sorted(isinstance(outcome, Exception) for outcome in outcomes) == [False, True]
        assert (await ledger.spending_of(KEY)).reserved_usd == 1


async def test_a_closed_ledger_takes_nothing(clock: Clock) -> None:
    async with opened("sqlite://", clock) as ledger:
        pass

    with pytest.raises(RuntimeError, match="the ledger is closed"):
        await ledger.reserve(reservation())


async def test_who_waits_when_it_closes_is_told(clock: Clock, tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path}/a.db") as real:
        database = Doored(real)
        async with open_commits(database) as commits:
            database.shut()
            first = asyncio.create_task(commits(partial(beat, "one", clock.now())))
            await database.knocked.wait()
            second = asyncio.create_task(commits(partial(beat, "two", clock.now())))
            await asyncio.sleep(0)  # it is in the queue now, behind the door

        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConnectionAbortedError] * 2


async def test_refusals_do_not_part_those_who_are_written_together(tmp_path: Path, clock: Clock) -> None:
    poor = limited("key-2", budget_usd="0.5")
    async with open_database(f"sqlite:///{tmp_path}/a.db") as real:
        database = Doored(real)
        async with open_ledger(database, clock, "one") as ledger:
            before = database.transactions
            asked = [ledger.reserve(reservation((KEY, poor)[number % 2])) for number in range(60)]
            await asyncio.gather(*asked, return_exceptions=True)

            assert database.transactions - before <= 4
            assert (await ledger.spending_of(KEY)).requests == 30
