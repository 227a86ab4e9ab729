"""Reports: equal to the nano-dollar to what an independent sum over the settlements says, by page and by group."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from random import Random

import pytest

from app.errors import AppError
from app.ledger import EntryState, GroupBy, Ledger, Reservation, Settlement, Tokens, UsageGroup
from tests.ledger.making import NOON, RELEASED, UNKNOWN, Clock, limited, opened, reservation, settlement

pytestmark = pytest.mark.anyio

Request = tuple[Reservation, Settlement | None]


def made_up(random: Random) -> Request:
    """A request of any kind, now and then in the very same instant as another."""
    key = limited(f"key-{random.randrange(3)}")
    asked = reservation(
        *((key, limited("token")) if random.random() < 0.2 else (key,)),
        bound=f"0.{random.randrange(10**9):09}",
        at=NOON + timedelta(hours=random.randrange(72)),
        model=random.choice(["opus", "sonnet"]),
        endpoint=random.choice(["/v1/analyze", "/v1/messages"]),
    )
    usage = {
        "input_tokens": random.randrange(10**6),
        "output_tokens": random.randrange(10**4),
        "cache_read_input_tokens": random.choice([None, random.randrange(10**5)]),
        **random.choice([{}, {"cache_creation_input_tokens": random.randrange(10**5)}]),
    }
    cost = random.choice([None, *[f"0.{random.randrange(10**12):012}" for _ in range(5)]])
    good = settlement(cost, usage=usage, images=random.randrange(20))
    return asked, random.choice([None, RELEASED, UNKNOWN, *[good] * 6])


async def filled(ledger: Ledger) -> list[Request]:
    """Three hundred requests, running, released, unknown and settled."""
    random = Random(20261122)  # noqa: S311 - the same every time
    made = [made_up(random) for _ in range(300)]
    await asyncio.gather(*[ledger.reserve(asked) for asked, _ in made])
    await asyncio.gather(*[ledger.settle(asked.id, ended) for asked, ended in made if ended is not None])
    return made


def summed(name: str, requests: list[tuple[Reservation, Settlement]]) -> UsageGroup:
    """The same sum without the ledger."""
    nano = Decimal("0.000000001")
    ends = [ended for _, ended in requests]

    def tokens(field: str) -> int:
        return sum(int(str(ended.usage.get(field) or 0)) for ended in ends)

    return UsageGroup(
        name=name,
        requests=len(ends),
        images=sum(ended.images for ended in ends),
        tokens=Tokens(
            input=tokens("input_tokens"),
            output=tokens("output_tokens"),
            cache_read=tokens("cache_read_input_tokens"),
            cache_creation=tokens("cache_creation_input_tokens"),
        ),
        cost_usd=sum((ended.cost_usd.quantize(nano, ROUND_HALF_EVEN) for ended in ends if ended.cost_usd), Decimal(0)),
        unknown_usd=sum((asked.bound_usd for asked, ended in requests if ended.state == "unknown"), Decimal(0)),
        unpriced=sum(ended.state == "settled" and ended.cost_usd is None for ended in ends),
    )


def group_of(asked: Reservation, group_by: GroupBy) -> str:
    return {
        "key": asked.spenders[0].id,
        "model": asked.model,
        "endpoint": asked.endpoint,
        "day": f"{asked.at:%Y-%m-%d}",
    }[group_by]


@dataclass(frozen=True, slots=True)
class Within:
    """A filter, as the ledger takes it and as the test does."""

    key_ids: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __contains__(self, asked: Reservation) -> bool:
        return (
            (self.key_ids is None or asked.spenders[0].id in self.key_ids)
            and (self.since is None or asked.at >= self.since)
            and (self.until is None or asked.at < self.until)
        )


FILTERS = [
    Within(),
    Within(key_ids=("key-0", "key-2")),
    Within(key_ids=()),
    Within(since=NOON + timedelta(hours=20), until=NOON + timedelta(hours=50)),
]


async def test_sums_are_those_of_the_settlements_to_the_nano_dollar(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        made = await filled(ledger)
        ended = [(asked, end) for asked, end in made if end is not None and end.state != "released"]
        for within in FILTERS:
            for group_by in ("key", "model", "endpoint", "day"):
                report = await ledger.usage(within.key_ids, within.since, within.until, group_by=group_by)

                groups: dict[str, list[tuple[Reservation, Settlement]]] = defaultdict(list)
                for asked, end in ended:
                    if asked in within:
                        groups[group_of(asked, group_by)].append((asked, end))
                assert report.groups == tuple(summed(name, groups[name]) for name in sorted(groups))
                assert report.total == summed("total", [one for group in groups.values() for one in group])


async def test_budgets_are_held_against_the_same_sums(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        made = await filled(ledger)
        for key_id in ("key-0", "key-1", "key-2"):
            spent = await ledger.spending_of(limited(key_id))
            group = (await ledger.usage([key_id])).total
            running = [asked for asked, end in made if end is None and asked.spenders[0].id == key_id]

            assert spent.settled_usd == group.cost_usd + group.unknown_usd
            assert spent.reserved_usd == sum(asked.bound_usd for asked in running)
            assert spent.requests == group.requests + len(running)


@pytest.mark.parametrize("state", [None, "reserved", "settled", "released", "unknown"])
async def test_pages_tell_every_request_once_newest_first(
    database_url: str, clock: Clock, state: EntryState | None
) -> None:
    async with opened(database_url, clock) as ledger:
        made = await filled(ledger)
        for within in FILTERS:
            ids: list[str] = []
            after: str | None = None
            while True:
                page = await ledger.page(
                    state=state,
                    key_ids=within.key_ids,
                    since=within.since,
                    until=within.until,
                    limit=37,
                    after=after,
                )
                ids += [entry.id for entry in page.entries]
                after = page.next_page
                if after is None:
                    break

            chosen = [asked for asked, end in made if asked in within and (end.state if end else "reserved") == state]
            if state is None:
                chosen = [asked for asked, _ in made if asked in within]
            assert ids == [one.id for one in sorted(chosen, key=lambda one: (one.at, one.id), reverse=True)]


async def test_a_page_stays_what_it_was_when_more_is_reserved(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        first = [reservation() for _ in range(4)]
        for one in first:
            await ledger.reserve(one)
        page = await ledger.page(limit=2)
        await ledger.reserve(reservation(at=clock.advance(seconds=1)))

        rest = await ledger.page(limit=2, after=page.next_page)

        assert [entry.id for entry in (*page.entries, *rest.entries)] == [one.id for one in reversed(first)]
        assert rest.next_page is None


@pytest.mark.parametrize("cursor", ["", "x", "1", "99999999999999999999999.led_1", "nan.led_1", "1.\0", "1.\ud800"])
async def test_a_page_that_was_never_given_out_is_no_page(database_url: str, clock: Clock, cursor: str) -> None:
    async with opened(database_url, clock) as ledger:
        with pytest.raises(AppError, match="page: no such page"):
            await ledger.page(after=cursor)


async def test_an_empty_ledger_has_an_empty_report(database_url: str, clock: Clock) -> None:
    async with opened(database_url, clock) as ledger:
        report = await ledger.usage()

        assert (report.groups, report.total) == ((), summed("total", []))
