"""Claims of Idempotency-Keys: one of many gets it, an answer is kept with its settlement, the dead hold none."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from app.database.sql import open_database
from app.database.tables import idempotency
from app.errors import AppError, ErrorCode
from app.ledger import Claim, Ledger, WireAnswer
from tests.ledger.making import KEY, RELEASED, Clock, opened, reservation, settlement

pytestmark = pytest.mark.anyio

CLAIM = Claim("key-1", "one", "a" * 64)
ANSWER = WireAnswer(200, {"content-type": "text/plain"}, b"the answer")


async def refusal(ledger: Ledger, claim: Claim = CLAIM) -> ErrorCode:
    """How the ledger refuses to say what was answered."""
    with pytest.raises(AppError) as raised:
        await ledger.answer_kept(claim)
    return raised.value.code


async def test_of_many_that_claim_at_once_one_has_it_and_the_others_reserve_nothing(
    database_url: str, clock: Clock
) -> None:
    async with opened(database_url, clock) as one, opened(database_url, clock, "two") as two:
        asked = [ledger.reserve(reservation(claim=CLAIM)) for _ in range(10) for ledger in (one, two)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)

        refused = [outcome.code for outcome in outcomes if isinstance(outcome, AppError)]
        assert refused == [ErrorCode.IDEMPOTENCY_IN_PROGRESS] * 19
        spent = await one.spending_of(KEY)
        assert (spent.reserved_usd, spent.requests) == (1, 1)
        assert await refusal(two) is ErrorCode.IDEMPOTENCY_IN_PROGRESS


async def test_a_request_that_was_answered_since_the_caller_looked_is_not_reserved_again(
    database_url: str, clock: Clock
) -> None:
    async with opened(database_url, clock) as ledger:
        first = reservation(claim=CLAIM)
        await ledger.reserve(first)
        await ledger.settle(first.id, settlement(claim=CLAIM, answer=ANSWER))

        with pytest.raises(AppError) as again:
            await ledger.reserve(reservation(claim=CLAIM))
        with pytest.raises(AppError) as other:
            await ledger.reserve(reservation(claim=replace(CLAIM, digest="b" * 64)))

        assert again.value.code is ErrorCode.IDEMPOTENCY_IN_PROGRESS
        assert other.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
        assert await ledger.answer_kept(CLAIM) == ANSWER
        assert (await ledger.spending_of(KEY)).requests == 1


async def test_a_refused_reservation_claims_nothing(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        key = replace(KEY, limits=replace(KEY.limits, requests_per_minute=0))
        with pytest.raises(AppError):
            await ledger.reserve(reservation(key, claim=CLAIM))

        assert await ledger.answer_kept(CLAIM) is None


async def test_a_settlement_without_an_answer_frees_the_key(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        for end in (RELEASED, settlement()):
            first = reservation(claim=CLAIM)
            await ledger.reserve(first)
            await ledger.settle(first.id, replace(end, claim=CLAIM))

            assert await ledger.answer_kept(CLAIM) is None


async def test_whoever_is_cancelled_while_reserving_leaves_the_key_free(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        reserving = asyncio.create_task(ledger.reserve(reservation(claim=CLAIM)))
        await asyncio.sleep(0)
        reserving.cancel()
        await asyncio.wait([reserving])
        await ledger.finish()

        assert await ledger.answer_kept(CLAIM) is None


async def test_a_dead_process_holds_no_key_and_cannot_answer_for_its_successor(database_url: str, clock: Clock) -> None:
    async with opened(database_url, Clock(), "slow") as slow, opened(database_url, clock) as ledger:
        first, second = reservation(claim=CLAIM), reservation(claim=CLAIM)
        await slow.reserve(first)
        clock.advance(seconds=30)
        assert await refusal(ledger) is ErrorCode.IDEMPOTENCY_IN_PROGRESS

        clock.advance(microseconds=1)
        assert await ledger.answer_kept(CLAIM) is None
        await ledger.reserve(replace(second, at=clock.now()))
        await slow.settle(first.id, settlement(claim=CLAIM, answer=replace(ANSWER, content=b"too late")))

        assert await refusal(ledger) is ErrorCode.IDEMPOTENCY_IN_PROGRESS
        await ledger.settle(second.id, settlement(claim=CLAIM, answer=ANSWER))
        assert await ledger.answer_kept(CLAIM) == ANSWER


async def test_an_answer_is_deleted_after_a_day(database_url: str, clock: Clock) -> None:
    async def rows() -> int:
        async with open_database(database_url) as database, database.reading() as connection:
            return (await connection.execute(select(func.count()).select_from(idempotency))).scalar_one()

    async with opened(database_url, clock) as ledger:
        for name in ("one", "two"):
            claim = replace(CLAIM, key=name)
            first = reservation(claim=claim, at=clock.now())
            await ledger.reserve(first)
            await ledger.settle(first.id, settlement(claim=claim, answer=ANSWER))
            clock.advance(hours=12)

        await ledger.sweep()
        assert await rows() == 1
        clock.advance(hours=12)
        await ledger.sweep()
        assert await rows() == 0
