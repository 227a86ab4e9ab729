"""Processes that die: what they left reserved becomes unknown and counts; what the living reserved is theirs."""

import asyncio
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from app.database.sql import open_database
from app.database.tables import instances
from app.ledger import Ledger
from tests.ledger.making import KEY, NOON, RELEASED, Clock, opened, reservation, settlement

pytestmark = pytest.mark.anyio

RESERVES = """
import asyncio, sys
from app.errors import AppError
from tests.ledger.making import Clock, limited, opened, reservation

async def main(url, name, count):
    async with opened(url, Clock(), name) as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        key = limited(budget_usd="50")
        asked = [ledger.reserve(reservation(key, id=f"{name}-{number}")) for number in range(count)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, (tuple, AppError)) for one in outcomes), outcomes
        print(sum(isinstance(one, tuple) for one in outcomes), flush=True)
        sys.stdin.readline()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


@contextmanager
def reserving(url: str, name: str, count: int) -> Generator[subprocess.Popen[str]]:
    """A process with a ledger of its own, ready to reserve."""
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", RESERVES, url, name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    try:
        assert said(process) == "ready"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def go(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def states(ledger: Ledger) -> list[str]:
    return sorted(entry.state for entry in (await ledger.page()).entries)


async def seen(url: str) -> dict[str, datetime]:
    async with open_database(url) as database, database.reading() as connection:
        return {row.id: row.seen_at for row in await connection.execute(select(instances))}


async def test_two_processes_share_one_budget(database_url: str, clock: Clock) -> None:
    with reserving(database_url, "one", 40) as one, reserving(database_url, "two", 40) as two:
        go([one, two])

        assert int(said(one)) + int(said(two)) == 50
        async with opened(database_url, clock, "three") as ledger:
            assert (await ledger.spending_of(KEY)).reserved_usd == 50


async def test_a_process_that_was_killed_leaves_its_bounds_spent(database_url: str, clock: Clock) -> None:
    with reserving(database_url, "victim", 3) as process:
        go([process])
        assert said(process) == "3"
    clock.advance(seconds=30, microseconds=1)

    async with opened(database_url, clock) as ledger:
        spent = await ledger.spending_of(KEY)
        assert (spent.reserved_usd, spent.settled_usd, await states(ledger)) == (0, 3, ["unknown"] * 3)
        assert await seen(database_url) == {"one": clock.now()}


async def test_a_process_that_was_seen_lately_keeps_what_it_reserved(database_url: str, clock: Clock) -> None:
    with reserving(database_url, "other", 3) as process:
        go([process])
        assert said(process) == "3"
        clock.advance(seconds=30)

        async with opened(database_url, clock) as ledger:
            assert await states(ledger) == ["reserved"] * 3


async def test_a_running_ledger_notices_who_has_died(database_url: str, clock: Clock) -> None:
    still = Clock()
    async with opened(database_url, still, "two") as two:
        one = reservation()
        await two.reserve(one)
        async with opened(database_url, clock, heartbeat_s=0.001) as ledger, asyncio.timeout(30):
            clock.advance(seconds=31)
            while await states(ledger) == ["reserved"]:
                pass  # the question takes its time

            assert await states(ledger) == ["unknown"]
            assert await two.settle(one.id, settlement("0.25"))  # it was not dead, but slow: its answer counts
            assert await states(ledger) == ["settled"]


async def test_a_ledger_says_again_and_again_that_it_lives(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock, heartbeat_s=0.001), asyncio.timeout(30):
        clock.advance(minutes=5)
        while await seen(database_url) != {"one": NOON + timedelta(minutes=5)}:
            pass  # as above


async def test_a_process_that_comes_back_under_its_name_knows_what_it_left(database_url: str, clock: Clock) -> None:
    with reserving(database_url, "one", 2) as process:
        go([process])
        assert said(process) == "2"

    async with opened(database_url, clock, "one") as ledger:
        assert await states(ledger) == ["unknown"] * 2


async def test_more_than_one_transaction_s_worth_is_marked(database_url: str, clock: Clock) -> None:
    with reserving(database_url, "one", 50) as one:
        go([one])
        assert said(one) == "50"
    clock.advance(minutes=1)
    async with opened(database_url, Clock(), "two") as two:
        await asyncio.gather(*[two.reserve(reservation(bound="0.01")) for _ in range(600)])
        async with opened(database_url, clock, "three") as ledger:
            spent = await ledger.spending_of(KEY)
            assert (spent.reserved_usd, spent.settled_usd, spent.requests) == (0, 56, 650)


async def test_two_that_look_for_the_dead_at_once_count_them_once(database_url: str, clock: Clock) -> None:
    async with (
        opened(database_url, clock) as one,
        opened(database_url, clock, "two") as two,
        opened(database_url, Clock(), "slow") as slow,
    ):
        for _ in range(20):
            await slow.reserve(reservation())
        async with open_database(database_url) as database, database.writing() as connection:
            await connection.execute(
                delete(instances).where(instances.c.id == "slow")
            )  # no row to wait for each other at
        await asyncio.gather(*[ledger.sweep() for _ in range(3) for ledger in (one, two)])

        assert (await one.spending_of(KEY)).settled_usd == 20


async def test_a_clean_close_leaves_nothing_reserved_and_no_heartbeat(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        first, _ = reservation(), await ledger.reserve(reservation())
        await ledger.reserve(first)
        await ledger.settle(first.id, RELEASED)

    assert await seen(database_url) == {}
    async with opened(database_url, clock, "two") as ledger:
        assert await states(ledger) == ["released", "unknown"]
