"""Budgets: never overspent, whoever asks at the same time; what is given back, what counts, when they renew."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from app.domain import Spender
from app.errors import AppError, ErrorCode
from app.ledger import Ledger, Settlement, Spending
from tests.ledger.making import KEY, RELEASED, UNKNOWN, Clock, limited, opened, reservation, settlement

pytestmark = pytest.mark.anyio


async def refused(ledger: Ledger, *spenders: Spender, **values: Any) -> AppError:
    with pytest.raises(AppError) as raised:
        await ledger.reserve(reservation(*spenders, **values))
    return raised.value


async def granted(ledger: Ledger, *spenders: Spender, count: int) -> list[str]:
    """The ids of those that were let through of that many at once."""
    asked = [reservation(*spenders) for _ in range(count)]
    outcomes = await asyncio.gather(*[ledger.reserve(one) for one in asked], return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {error.code if isinstance(error, AppError) else error for error in errors} <= {ErrorCode.BUDGET_EXHAUSTED}
    return [one.id for one, outcome in zip(asked, outcomes, strict=True) if not isinstance(outcome, BaseException)]


async def test_two_hundred_at_once_get_no_more_than_the_budget_holds(database_url: str, clock: Clock) -> None:
    key = limited(budget_usd="50")
    async with opened(database_url, clock) as ledger:
        ids = await granted(ledger, key, count=200)
        assert len(ids) == 50

        for one in ids:
            assert await ledger.settle(one, settlement("0.6"))
        more = [len(await granted(ledger, key, count=1)) for _ in range(21)]  # 30 are spent: 20 of 1 fit

        assert more == [1] * 20 + [0]


async def test_two_ledgers_share_one_budget(database_url: str, clock: Clock) -> None:
    key = limited(budget_usd="50")
    async with opened(database_url, clock) as one, opened(database_url, clock, "two") as two:
        ids = await asyncio.gather(*[granted(ledger, key, count=50) for ledger in (one, two)])

        assert len(ids[0]) + len(ids[1]) == 50
        assert (await two.spending_of(key)).reserved_usd == 50


async def test_keys_and_tokens_of_many_callers_never_wait_for_each_other(database_url: str, clock: Clock) -> None:
    pairs = [(limited("b"), limited("a")), (limited("a"), limited("b")), (limited("b"),), (limited("a"),)]
    async with opened(database_url, clock) as one, opened(database_url, clock, "two") as two:
        for _ in range(3):
            asked = [reservation(*pairs[number % 4], bound="0.01") for number in range(40)]
            await asyncio.gather(*[(one, two)[number % 2].reserve(each) for number, each in enumerate(asked)])
            await asyncio.gather(
                *[(two, one)[number % 2].settle(each.id, settlement("0.01")) for number, each in enumerate(asked)]
            )

        assert (await one.spending_of(limited("a"))).settled_usd == Decimal("0.90")


async def test_a_refusal_says_all_figures_and_changes_nothing(database_url: str, clock: Clock) -> None:
    key = limited(budget_usd="50", budget_period="month", requests_per_minute=100)
    async with opened(database_url, clock) as ledger:
        first = reservation(key, bound="48.1")
        await ledger.reserve(first)
        await ledger.settle(first.id, settlement("48.1"))
        [before] = await ledger.reserve(reservation(key, bound="1.5"))

        error = await refused(ledger, key, bound="0.91")

        assert (error.code, error.message) == (
            ErrorCode.BUDGET_EXHAUSTED,
            (
                "the budget of this key is 50.00 USD a month: 48.10 spent, 1.50 reserved by running requests, and this "
                "one may cost up to 0.91; it renews at 2026-12-01T00:00:00Z"
            ),
        )
        assert error.details == {
            "budget_usd": 50.0,
            "spent_usd": 48.1,
            "reserved_usd": 1.5,
            "bound_usd": 0.91,
            "renews_at": "2026-12-01T00:00:00Z",
        }
        [after] = await ledger.reserve(reservation(key, bound="0.4"))
        assert (before.remaining, after.remaining) == (98, 97)
        assert len((await ledger.page()).entries) == 3


async def test_a_token_is_held_by_its_own_budget_and_by_its_key_s(database_url: str, clock: Clock) -> None:
    key, token = limited(budget_usd="3"), limited("token-1", budget_usd="2")
    async with opened(database_url, clock) as ledger:
        for _ in range(2):
            await ledger.reserve(reservation(key, token))
        of_token = await refused(ledger, key, token)
        await ledger.reserve(reservation(key))
        of_key = await refused(ledger, key, limited("token-2"))

        assert of_token.message.startswith("the budget of this token is 2.00 USD: 0.00 spent, 2.00 reserved")
        assert of_key.message.startswith("the budget of this key is 3.00 USD: 0.00 spent, 3.00 reserved")
        assert (await ledger.spending_of(limited("token-2"))).reserved_usd == 0


@pytest.mark.parametrize(
    ("outcome", "reserved", "settled", "requests"),
    [
        (settlement("0.25"), "0", "0.25", 1),
        (settlement("1.75"), "0", "1.75", 1),
        (settlement(None), "0", "0", 1),
        (RELEASED, "0", "0", 0),
        (UNKNOWN, "0", "1", 1),
    ],
    ids=["cheaper", "dearer than its bound", "of no known price", "released", "unknown"],
)
async def test_what_a_settled_request_counts(
    database_url: str, clock: Clock, outcome: Settlement, reserved: str, settled: str, requests: int
) -> None:
    token = limited("token-1")
    async with opened(database_url, clock) as ledger:
        one = reservation(KEY, token)
        await ledger.reserve(one)
        assert await ledger.settle(one.id, outcome)

        expected = Spending("total", None, Decimal(reserved), Decimal(settled), requests, None)
        assert [await ledger.spending_of(KEY), await ledger.spending_of(token)] == [expected, expected]


async def test_the_last_nano_dollar_of_a_budget_can_be_reserved_and_no_more(database_url: str, clock: Clock) -> None:
    key = limited(budget_usd="0.000000010")
    async with opened(database_url, clock) as ledger:
        await ledger.reserve(reservation(key, bound="0.0000000081"))  # rounded up
        await refused(ledger, key, bound="0.0000000011")
        await ledger.reserve(reservation(key, bound="0.000000001"))

        assert (await ledger.spending_of(key)).reserved_usd == Decimal("0.00000001")


@pytest.mark.parametrize(
    ("period", "hours", "renews"),
    [("day", 12, "2026-11-23T00:00:00Z"), ("month", 8 * 24 + 12, "2026-12-01T00:00:00Z")],
)
async def test_a_budget_renews_with_its_period(
    database_url: str, clock: Clock, period: str, hours: int, renews: str
) -> None:
    key = limited(budget_usd="1", budget_period=period)
    async with opened(database_url, clock) as ledger:
        old = reservation(key)
        await ledger.reserve(old)
        error = await refused(ledger, key, at=clock.advance(hours=hours, microseconds=-1))
        assert error.details["renews_at"] == renews

        await ledger.reserve(reservation(key, bound="0.5", at=clock.advance(microseconds=1)))
        await ledger.settle(old.id, settlement("1"))  # of the period that has passed

        now = await ledger.spending_of(key)
        assert (now.reserved_usd, now.settled_usd, now.requests) == (Decimal("0.5"), 0, 1)


async def test_a_budget_whose_period_changes_counts_what_was_spent_before(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        one = reservation(limited(budget_usd="1", budget_period="month"))
        await ledger.reserve(one)
        await ledger.settle(one.id, settlement("0.8"))

        error = await refused(ledger, limited(budget_usd="1", budget_period="day"), bound="0.3")

        assert error.details["spent_usd"] == 0.8


async def test_max_requests_counts_all_but_the_released(database_url: str, clock: Clock) -> None:
    token = limited("token-1", max_requests=2)
    async with opened(database_url, clock) as ledger:
        first = reservation(KEY, token)
        await ledger.reserve(first)
        await ledger.settle(first.id, RELEASED)
        for _ in range(2):
            await ledger.reserve(reservation(KEY, token))

        error = await refused(ledger, KEY, token)

        assert (error.code, error.message) == (
            ErrorCode.BUDGET_EXHAUSTED,
            "this token is good for 2 requests, and all of them were made",
        )


def test_nothing_negative_is_reserved() -> None:
    with pytest.raises(ValueError, match="none may be negative"):
        reservation(bound="-1")
    with pytest.raises(ValueError, match="none may be negative"):
        reservation(bound="NaN")


async def test_the_parts_of_a_call_are_reserved_together_or_not_at_all(database_url: str, clock: Clock) -> None:
    key = limited(budget_usd="3", requests_per_minute=4)
    async with opened(database_url, clock) as ledger:
        parts = [reservation(key, bound="1.0000000001", requests=1), reservation(key, bound="1", requests=3)]
        told = await ledger.reserve(*parts)
        with pytest.raises(AppError):
            await ledger.reserve(reservation(key, bound="0", requests=0), reservation(key, bound="1", requests=0))

        spent = await ledger.spending_of(key)
        assert [(one.kind, one.remaining) for one in told] == [("requests", 0)]
        assert (spent.reserved_usd, spent.requests) == (Decimal("2.000000001"), 4)
        assert len((await ledger.page()).entries) == 2

        for part in parts:
            await ledger.settle(part.id, RELEASED)
        spent = await ledger.spending_of(key)
        assert (spent.reserved_usd, spent.settled_usd, spent.requests) == (0, 0, 0)
