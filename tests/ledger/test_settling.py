"""Settling: once, and not lost to callers who leave or a database that fails for a while."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from app.database.sql import open_database
from app.domain import Json
from app.ledger import Entry, Ledger, Settlement, open_ledger
from tests.ledger.faults import Doored
from tests.ledger.making import KEY, NOON, RELEASED, UNKNOWN, Clock, opened, reservation, settlement

pytestmark = pytest.mark.anyio

NO_DELAYS = (0.0, 0.0, 0.0)


@asynccontextmanager
async def doored(url: str, clock: Clock) -> AsyncGenerator[tuple[Doored, Ledger]]:
    async with open_database(url) as real:
        database = Doored(real)
        async with open_ledger(database, clock, "one", retry_delays_s=NO_DELAYS) as ledger:
            yield database, ledger


async def only_entry(ledger: Ledger) -> Entry:
    [entry] = (await ledger.page()).entries
    return entry


async def reserved(ledger: Ledger) -> str:
    one = reservation()
    await ledger.reserve(one)
    return one.id


async def test_the_row_says_what_was_reserved_and_then_what_became_of_it(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        one = reservation(images=3)
        await ledger.reserve(one)
        before = await only_entry(ledger)
        clock.advance(seconds=2)
        await ledger.settle(one.id, settlement("0.25", images=2))
        after = await only_entry(ledger)

    common: dict[str, Any] = {
        "id": one.id,
        "at": NOON,
        "key_id": "key-1",
        "token_id": None,
        "endpoint": "/v1/analyze",
        "model": "claude-sonnet-5-5",
        "request_id": "req_1",
        "bound_usd": Decimal(1),
    }
    assert before == Entry(
        **common,
        state="reserved",
        status=None,
        upstream_request_id=None,
        images=3,
        bytes_before=0,
        bytes_after=0,
        usage=None,
        cost_usd=None,
        timing_ms={},
        settled_at=None,
    )
    assert after == Entry(
        **common,
        state="settled",
        status=200,
        upstream_request_id="req_upstream",
        images=2,
        bytes_before=4_000_000,
        bytes_after=300_000,
        usage={"input_tokens": 1_000, "output_tokens": 50},
        cost_usd=Decimal("0.25"),
        timing_ms={"upstream": 812.5},
        settled_at=clock.now(),
    )


async def test_of_many_who_settle_at_once_one_does(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as one, opened(database_url, clock, "two") as two:
        reservation_id = await reserved(one)
        outcomes = await asyncio.gather(
            *[(one, two)[number % 2].settle(reservation_id, settlement("0.25")) for number in range(20)]
        )

        assert sorted(outcomes) == [False] * 19 + [True]
        assert (await one.spending_of(KEY)).settled_usd == Decimal("0.25")


@pytest.mark.parametrize("first", [settlement("0.25"), RELEASED], ids=["settled", "released"])
@pytest.mark.parametrize("second", [settlement("0.5"), RELEASED, UNKNOWN], ids=["settled", "released", "unknown"])
async def test_what_is_known_stays(database_url: str, clock: Clock, first: Settlement, second: Settlement) -> None:
    async with opened(database_url, clock) as ledger:
        reservation_id = await reserved(ledger)
        assert await ledger.settle(reservation_id, first)
        before = await only_entry(ledger), await ledger.spending_of(KEY)

        assert not await ledger.settle(reservation_id, second)
        assert (await only_entry(ledger), await ledger.spending_of(KEY)) == before


async def test_what_is_unknown_may_become_known_once(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        reservation_id = await reserved(ledger)
        outcomes = [
            await ledger.settle(reservation_id, each)
            for each in (UNKNOWN, UNKNOWN, settlement("0.25"), settlement("0.5"), UNKNOWN)
        ]

        assert outcomes == [True, False, True, False, False]
        spent = await ledger.spending_of(KEY)
        assert (spent.reserved_usd, spent.settled_usd, spent.requests) == (0, Decimal("0.25"), 1)


async def test_what_was_never_reserved_is_told_to_the_log(
    database_url: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(database_url, clock) as ledger:
        assert not await ledger.settle("led_none", settlement("0.25"))

    assert (
        "request led_none was never reserved and cannot be settled: settled, status 200, cost 0.25 USD" in caplog.text
    )


async def test_a_caller_who_leaves_while_it_settles_loses_nothing(database_url: str, clock: Clock) -> None:
    async with doored(database_url, clock) as (database, ledger):
        reservation_id = await reserved(ledger)
        database.shut()
        settling = asyncio.create_task(ledger.settle(reservation_id, settlement("0.25")))
        await database.knocked.wait()
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling
        database.open()
        await ledger.finish()

        assert (await only_entry(ledger)).state == "settled"


async def test_reports_wait_for_what_is_settled_behind_its_answer(database_url: str, clock: Clock) -> None:
    async with doored(database_url, clock) as (database, ledger):
        reservation_id = await reserved(ledger)
        database.shut()
        ledger.behind(ledger.settle(reservation_id, settlement("0.25")))
        reports = asyncio.gather(ledger.usage(), ledger.page(), ledger.spending_of(KEY))
        await database.knocked.wait()
        database.open()
        usage, page, spent = await reports

        assert (usage.total.cost_usd, spent.settled_usd) == (Decimal("0.25"), Decimal("0.25"))
        assert [entry.state for entry in page.entries] == ["settled"]


async def test_the_end_waits_for_what_is_settled_behind_its_answer(database_url: str, clock: Clock) -> None:
    async with doored(database_url, clock) as (_, ledger):
        reservation_id = await reserved(ledger)
        ledger.behind(ledger.settle(reservation_id, settlement("0.25")))

    async with opened(database_url, clock) as ledger:
        assert (await only_entry(ledger)).state == "settled"


async def test_a_caller_who_leaves_while_it_reserves_has_reserved_nothing(database_url: str, clock: Clock) -> None:
    async with doored(database_url, clock) as (database, ledger):
        database.shut()
        reserving = asyncio.create_task(ledger.reserve(reservation()))
        await database.knocked.wait()
        reserving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reserving
        database.open()
        await ledger.finish()

        spent = await ledger.spending_of(KEY)
        assert ((await only_entry(ledger)).state, spent.reserved_usd, spent.requests) == ("released", 0, 0)


async def test_a_reservation_whose_outcome_was_lost_is_released(database_url: str, clock: Clock) -> None:
    async with doored(database_url, clock) as (database, ledger):
        database.losing = True
        with pytest.raises(ConnectionResetError):
            await ledger.reserve(reservation())
        await ledger.finish()

        assert ((await only_entry(ledger)).state, (await ledger.spending_of(KEY)).reserved_usd) == ("released", 0)


async def test_a_settlement_whose_outcome_was_lost_is_not_counted_twice(database_url: str, clock: Clock) -> None:
    async with doored(database_url, clock) as (database, ledger):
        reservation_id = await reserved(ledger)
        database.losing = True
        await ledger.settle(reservation_id, settlement("0.25"))

        assert (await ledger.spending_of(KEY)).settled_usd == Decimal("0.25")


async def test_a_database_that_fails_for_a_moment_loses_nothing(database_url: str, clock: Clock) -> None:
    async with doored(database_url, clock) as (database, ledger):
        reservation_id = await reserved(ledger)
        database.failures = len(NO_DELAYS)

        assert await ledger.settle(reservation_id, settlement("0.25"))


async def test_a_database_that_fails_for_long_leaves_the_figures_in_the_log_and_is_asked_again(
    database_url: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with doored(database_url, clock) as (database, ledger):
        reservation_id = await reserved(ledger)
        database.failures = len(NO_DELAYS) + 1
        caplog.set_level(logging.ERROR)
        assert not await ledger.settle(reservation_id, settlement("0.25"))
        state = (await only_entry(ledger)).state
        await ledger.sweep()

        assert f"request {reservation_id} is not settled: settled, status 200, cost 0.25 USD, 1 images" in caplog.text
        assert (state, (await only_entry(ledger)).state) == ("reserved", "settled")


async def test_odd_texts_and_counts_from_outside_are_no_hindrance(database_url: str, clock: Clock) -> None:
    usage: dict[str, Json] = {
        "input_tokens": True,
        "output_tokens": "many",
        "cache_read_input_tokens": None,
        "service_tier": "x",
    }
    async with opened(database_url, clock) as ledger:
        one = reservation(model="m\0\ud800" + "x" * 300)
        await ledger.reserve(one)
        assert await ledger.settle(one.id, settlement(usage=usage, upstream_request_id="r" * 300))

        entry = await only_entry(ledger)
        assert (entry.model, entry.usage) == ("m?" + "x" * 198, usage | {"input_tokens": 0, "output_tokens": 0})
        assert (await ledger.usage()).total.tokens.input == 0
