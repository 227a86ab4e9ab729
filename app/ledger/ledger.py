"""The ledger as the rest of the service sees it, with the tasks it owns; the statements are next door, in `sql`."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from app.database.sql import Database
from app.domain import Spender
from app.ledger.records import Claim, RateLimit, Reservation, Settlement, Spending, WireAnswer
from app.ledger.reports import EntryState, GroupBy, Page, UsageReport
from app.ledger.sql.commits import DATABASE_ERRORS, Commits, Write, may_be_written, open_commits
from app.ledger.sql.expiry import TOKENS_AT_ONCE, forget_tokens
from app.ledger.sql.idempotency import delete_old, end_claim, read_answer
from app.ledger.sql.instances import DEAD_AFTER, MOST_AT_ONCE, beat, begin, end, mark_unknown_of_the_dead
from app.ledger.sql.reporting import read_anything, read_page, read_spending, read_usage
from app.ledger.sql.reserving import write_reservation
from app.ledger.sql.settling import NeverReservedError, write_settlement

HEARTBEAT_S = 5.0
TOLD_OF_EXPIRY = timedelta(hours=1)
"""How long a token is still told that it expired, rather than that nobody knows it."""

ANSWER_S = 1.0
"""Longest that the database is waited for when somebody asks whether it is there."""

_BEATS_TO_A_SWEEP = 6
_RETRY_DELAYS_S = (0.1, 0.5, 2.0)

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_RELEASED = Settlement("released", None, None, {}, None, 0, 0, 0, {})


class Clock(Protocol):
    """Tells the time, as an instant in UTC."""

    def now(self) -> datetime: ...  # noqa: D102


class Ledger:
    """What every request may cost and did cost. Made by `open_ledger`.

    `swept` counts the requests of dead processes that it marked unknown.
    """

    def __init__(
        self,
        database: Database,
        commits: Commits,
        clock: Clock,
        instance_id: str,
        retry_delays_s: Sequence[float],
        answer_s: float = ANSWER_S,
    ) -> None:
        """The parts belong to whoever opened them."""
        self._database = database
        self._commits = commits
        self._clock = clock
        self._instance_id = instance_id
        self._retry_delays_s = retry_delays_s
        self._answer_s = answer_s
        self._writable = True
        self._running: set[asyncio.Task[Any]] = set()
        self._behind: set[asyncio.Task[Any]] = set()
        self._owed: dict[str, Settlement] = {}
        self.swept = 0

    @property
    def owed(self) -> int:
        """How many settlements wait for the database."""
        return len(self._owed)

    async def reserve(self, *reservations: Reservation) -> tuple[RateLimit, ...]:
        """What is left of each limit by the minute; from now on the bound counts as spent, until it is settled.

        Several are the parts of one call, of the same spenders and instant: all are reserved, or none.
        A caller that is cancelled meanwhile, or gets an error, has reserved nothing: what was written all the same is
        released.

        Raises:
            AppError: a budget (`budget_exhausted`) or a limit (`rate_limited`) has no room for it, or its claim is
                another's (`idempotency_conflict`, `idempotency_in_progress`); nothing is changed.
        """
        write = partial(write_reservation, reservations, self._instance_id)
        reserving = self._own(self._commits(write))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            self._own(self._undo(reserving, reservations))
            raise
        except DATABASE_ERRORS as error:
            if may_be_written(error):
                for reservation in reservations:
                    self._own(self._release(reservation))
            raise

    async def settle(self, id: str, settlement: Settlement) -> bool:  # noqa: A002 - the word for it
        """Whether this settled it: once, however often it is asked, but for what was `unknown`, which may become known.

        Goes on when its caller is cancelled, and tries again when the database fails. Where that does not pass, the
        figures are in the log, False comes back, and it is tried again until the process ends; after that the row is
        `unknown`.
        """
        return await asyncio.shield(self._own(self._settle(id, settlement)))

    def behind(self, settling: Coroutine[Any, Any, object]) -> None:
        """Settle a request that is answered meanwhile; reports of this process wait for it, and so does the end.

        It runs outside of the request, whose time it takes no part of.
        """
        task = self._own(settling, Context())
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def answer_kept(self, claim: Claim) -> WireAnswer | None:
        """The answer that was given under that Idempotency-Key; None where the key is free.

        Raises:
            AppError: `idempotency_conflict`, it was given to another request, or it was too long to keep;
                `idempotency_in_progress`, it is on its way.
        """
        async with self._database.reading() as connection:
            return await read_answer(claim, self._instance_id, self._clock.now(), connection)

    async def keep_answer(self, reservation_id: str, claim: Claim, answer: WireAnswer) -> None:
        """Keep the answer for whoever repeats the request, where it comes long before the settlement.

        Tried as often as a settlement. Where that does not pass the claim stays as it is: who repeats the request is
        told that it is in progress, and pays nothing.
        """
        write = partial(end_claim, reservation_id, claim, answer)
        await self._patiently(write, f"the answer to {reservation_id} is not kept for a repeat")

    async def spending_of(self, spender: Spender) -> Spending:
        """What is spent and reserved in the spender's current period."""
        await self._caught_up()
        async with self._database.reading() as connection:
            return await read_spending(spender, self._clock.now(), connection)

    async def usage(
        self,
        key_ids: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        group_by: GroupBy = "key",
    ) -> UsageReport:
        """Sums over what was settled, of those keys or all, from `since` until before `until`."""
        await self._caught_up()
        async with self._database.reading() as connection:
            return await read_usage(connection, key_ids, since, until, group_by)

    async def page(
        self,
        *,
        state: EntryState | None = None,
        key_ids: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        """Single requests, newest first; `after` is the `next_page` of the page before.

        Raises:
            AppError: `after` is none that was given out (`invalid_request`).
        """
        await self._caught_up()
        async with self._database.reading() as connection:
            return await read_page(
                connection, state=state, key_ids=key_ids, since=since, until=until, limit=limit, after=after
            )

    async def trouble(self) -> str | None:
        """Why nothing can be reserved now, in a few words; None where it can. Waits `ANSWER_S` at the longest.

        It reads now and goes by the last heartbeat for writing: whoever asks often must not have the disk synced.
        """
        if not self._writable:
            return "the database takes no writes"
        try:
            async with asyncio.timeout(self._answer_s), self._database.reading() as connection:
                await read_anything(connection)
        except DATABASE_ERRORS:
            return "the database does not answer"
        return None

    async def beat(self) -> None:
        """Say that this process lives; whether that was written is what `trouble` goes by."""
        try:
            await self._commits(partial(beat, self._instance_id, self._clock.now()))
        except DATABASE_ERRORS:
            self._writable = False
            raise
        self._writable = True

    async def sweep(self) -> int:
        """How many requests of dead processes were marked unknown.

        Settlements that failed before are tried again; tokens that are long expired are deleted, and answers that were
        kept for a day.
        """
        for owed_id, settlement in list(self._owed.items()):
            with suppress(*DATABASE_ERRORS):
                await self._commits(partial(write_settlement, owed_id, settlement, self._clock.now()))
                self._owed.pop(owed_id, None)
        now = self._clock.now()
        marked = MOST_AT_ONCE
        total = 0
        while marked == MOST_AT_ONCE:
            marked = await self._commits(partial(mark_unknown_of_the_dead, now - DEAD_AFTER, now))
            total += marked
        self.swept += total
        while await self._commits(partial(delete_old, now)) == MOST_AT_ONCE:
            pass
        if total:
            _log.warning("%d requests of processes that died are unknown now, and count with their bounds", total)
        while await self._commits(partial(forget_tokens, now - TOLD_OF_EXPIRY)) == TOKENS_AT_ONCE:
            pass
        return total

    async def _caught_up(self) -> None:
        """Wait for what is settled behind the answers given until now, or is given up for the moment."""
        if self._behind:
            await asyncio.wait(self._behind)

    async def _settle(self, reservation_id: str, settlement: Settlement) -> bool:
        write = partial(write_settlement, reservation_id, settlement, self._clock.now())
        try:
            settled = await self._patiently(write, f"request {reservation_id} is not settled: {_told(settlement)}")
        except NeverReservedError:
            _log.error("request %s was never reserved and cannot be settled: %s", reservation_id, _told(settlement))
            return False
        if settled is None:
            self._owed[reservation_id] = settlement
        return settled is True

    async def _patiently(self, write: Write[_Result], failed: str) -> _Result | None:
        """What the write gives back; None where it failed every time, which is told to the log."""
        for delay_s in (*self._retry_delays_s, None):
            try:
                return await self._commits(write)
            except NeverReservedError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the figures must not be lost
                if delay_s is None:
                    _log.error("%s", failed, exc_info=error)
                else:
                    await asyncio.sleep(delay_s)
        return None

    async def _release(self, reservation: Reservation) -> None:
        await self._settle(reservation.id, replace(_RELEASED, claim=reservation.claim))

    async def _undo(
        self, reserving: "asyncio.Task[tuple[RateLimit, ...]]", reservations: Sequence[Reservation]
    ) -> None:
        """Release what was reserved for a caller who has left, if it was."""
        await asyncio.wait([reserving])
        error = None if reserving.cancelled() else reserving.exception()
        if not reserving.cancelled() and (error is None or may_be_written(error)):
            for reservation in reservations:
                await self._release(reservation)

    def _own(self, work: Coroutine[Any, Any, _Result], context: Context | None = None) -> asyncio.Task[_Result]:
        """A task that outlives its caller, not the ledger."""
        task = asyncio.create_task(work, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self) -> None:
        """Wait for everything that was begun."""
        while self._running:
            await asyncio.wait(self._running)


@asynccontextmanager
async def open_ledger(
    database: Database,
    clock: Clock,
    instance_id: str,
    *,
    heartbeat_s: float = HEARTBEAT_S,
    retry_delays_s: Sequence[float] = _RETRY_DELAYS_S,
    answer_s: float = ANSWER_S,
) -> AsyncGenerator[Ledger]:
    """The ledger, for a process with that id, which no other that runs may have.

    What dead processes left reserved is marked first. On exit everything that was begun is finished, and what the
    process leaves reserved itself is unknown.
    """
    async with open_commits(database) as commits:
        ledger = Ledger(database, commits, clock, instance_id, retry_delays_s, answer_s)
        await commits(partial(begin, instance_id, clock.now()))
        await ledger.sweep()
        heart = asyncio.create_task(_live(ledger, heartbeat_s), name="ledger heartbeat")
        try:
            yield ledger
        finally:
            heart.cancel()
            await asyncio.shield(asyncio.create_task(_leave(heart, ledger, commits, clock, instance_id)))


async def _live(ledger: Ledger, heartbeat_s: float) -> None:
    """Heartbeats, and now and then a look for the dead."""
    beats = 0
    while True:
        await asyncio.sleep(heartbeat_s)
        beats += 1
        try:
            await ledger.beat()
            if beats % _BEATS_TO_A_SWEEP == 0:
                await ledger.sweep()
        except DATABASE_ERRORS as error:
            _log.warning("no heartbeat of the ledger: %s", type(error).__name__, exc_info=error)


async def _leave(heart: "asyncio.Task[None]", ledger: Ledger, commits: Commits, clock: Clock, instance_id: str) -> None:
    await asyncio.wait([heart])
    await ledger.finish()
    try:
        await ledger.sweep()
        await commits(partial(end, instance_id, clock.now()))
    except DATABASE_ERRORS as error:
        _log.error("the ledger closed without a word to the database", exc_info=error)


def _told(settlement: Settlement) -> str:
    """The figures, for the log."""
    return (
        f"{settlement.state}, status {settlement.status}, cost {settlement.cost_usd} USD, {settlement.images} images, "
        f"usage {dict(settlement.usage)}, upstream id {settlement.upstream_request_id}"
    )
