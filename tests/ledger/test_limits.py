"""Limits by the minute: a burst of one minute, then so many as time brings back; told before and after."""

import asyncio
from datetime import timedelta

import pytest

from app.errors import AppError, ErrorCode
from app.ledger import RateLimit
from app.web.errors import error_response
from tests.ledger.making import KEY, NOON, RELEASED, Clock, limited, opened, reservation

pytestmark = pytest.mark.anyio


async def test_a_burst_of_one_minute_then_one_for_each_that_comes_back(database_url: str, clock: Clock) -> None:
    key = limited(requests_per_minute=6)
    async with opened(database_url, clock) as ledger:
        told = [(await ledger.reserve(reservation(key)))[0] for _ in range(6)]
        assert [one.remaining for one in told] == [5, 4, 3, 2, 1, 0]
        assert told[-1] == RateLimit("requests", 6, 0, NOON + timedelta(minutes=1))

        with pytest.raises(AppError) as raised:
            await ledger.reserve(reservation(key, at=clock.advance(seconds=7.5)))
        await ledger.reserve(reservation(key, at=clock.advance(seconds=2.5)))

    assert (raised.value.code, raised.value.message) == (
        ErrorCode.RATE_LIMITED,
        "the limit of this key is 6 requests a minute, and this request has 1; it fits in 3 s",
    )
    response = error_response(raised.value, "req_1")
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize("limit", [7, 60, 1_000])
async def test_a_minute_s_worth_fits_at_once_and_not_one_more(database_url: str, clock: Clock, limit: int) -> None:
    key = limited(images_per_minute=limit)
    async with opened(database_url, clock) as ledger:
        for images in (1, limit - 2, 1):
            await ledger.reserve(reservation(key, images=images))
        with pytest.raises(AppError):
            await ledger.reserve(reservation(key))


async def test_many_at_once_get_no_more_than_the_limit(database_url: str, clock: Clock) -> None:
    key = limited(requests_per_minute=10)
    async with opened(database_url, clock) as one, opened(database_url, clock, "two") as two:
        asked = [(one, two)[number % 2].reserve(reservation(key)) for number in range(60)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)

    assert sum(isinstance(outcome, tuple) for outcome in outcomes) == 10


async def test_each_kind_is_told_by_the_tighter_of_key_and_token(database_url: str, clock: Clock) -> None:
    key = limited(requests_per_minute=10, tokens_per_minute=60_000)
    token = limited("token-1", requests_per_minute=3, images_per_minute=20)
    async with opened(database_url, clock) as ledger:
        told = await ledger.reserve(reservation(key, token, images=5, tokens=20_000))

    assert {(one.kind, one.limit, one.remaining) for one in told} == {
        ("requests", 3, 2),
        ("images", 20, 15),
        ("tokens", 60_000, 40_000),
    }


async def test_a_limit_that_is_full_takes_nothing_from_the_others(database_url: str, clock: Clock) -> None:
    key = limited(requests_per_minute=10, images_per_minute=4)
    async with opened(database_url, clock) as ledger:
        await ledger.reserve(reservation(key, images=4))
        with pytest.raises(AppError):
            await ledger.reserve(reservation(key))
        told = await ledger.reserve(reservation(key, images=0))

        assert [(one.kind, one.remaining) for one in told] == [("requests", 8)]
        assert (await ledger.spending_of(key)).reserved_usd == 2


async def test_more_than_a_minute_s_worth_is_never_told_to_wait(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        with pytest.raises(AppError) as raised:
            await ledger.reserve(reservation(KEY, limited("token-1", images_per_minute=4), images=5))

    assert raised.value.message == (
        "this request has 5 images; the limit of this token is 4 a minute, so it never fits: divide it"
    )
    assert "retry_after_s" not in raised.value.details


async def test_a_limit_of_nothing_lets_nothing_through(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        with pytest.raises(AppError):
            await ledger.reserve(reservation(limited(requests_per_minute=0)))


async def test_a_released_request_was_still_asked(database_url: str, clock: Clock) -> None:
    key = limited(requests_per_minute=1)
    async with opened(database_url, clock) as ledger:
        one = reservation(key)
        await ledger.reserve(one)
        await ledger.settle(one.id, RELEASED)
        with pytest.raises(AppError):
            await ledger.reserve(reservation(key))
