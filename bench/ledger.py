"""The money path alone: pairs of reserve and settle on SQLite and PostgreSQL, by how many callers ask at a time.

Each caller reserves and settles, one after the other, for one key with a budget and limits, the worst case: all of them
want the same rows. The databases are real files of this machine and are synced on commit, unlike those of the tests.

    python bench/ledger.py
"""

import asyncio
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from itertools import count

from sqlalchemy import text

from app.database.sql import Database, open_database
from app.domain import KeyLimits, Spender
from app.ledger import Ledger, Reservation, Settlement, open_ledger
from tests.postgres import running_postgres

PAIRS = {1: 300, 16: 2_000, 200: 4_000}

PLAIN = Spender("key", KeyLimits(budget_usd=Decimal(1_000_000)))
LIMITED = Spender(
    "limited",
    KeyLimits(
        budget_usd=Decimal(1_000_000),
        requests_per_minute=10_000_000,
        images_per_minute=10_000_000,
        tokens_per_minute=10_000_000_000,
    ),
)
SETTLED = Settlement(
    "settled",
    200,
    Decimal("0.004"),
    {"input_tokens": 1_400, "output_tokens": 90},
    "req_1",
    1,
    10**6,
    10**5,
    {"all": 1.0},
)

_numbers = count()


class SystemClock:
    """The machine's."""

    def now(self) -> datetime:  # noqa: D102
        return datetime.now(UTC)


def main() -> None:
    """Measure and print."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "aiosqlite", "asyncpg"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')}")
    print(f"SQLite {sqlite3.sqlite_version}, {versions}")
    with databases() as urls:
        asyncio.run(measure_all(urls))


@contextmanager
def databases() -> Generator[dict[str, str]]:
    """A fresh database of each kind."""
    with tempfile.TemporaryDirectory() as folder, running_postgres(synced=True) as server:
        yield {"SQLite": f"sqlite:///{folder}/ledger.db", "PostgreSQL": server.fresh_database()}


async def measure_all(urls: dict[str, str]) -> None:
    async with open_database(urls["PostgreSQL"]) as database, database.reading() as connection:
        print(f"PostgreSQL {(await connection.execute(text('SHOW server_version'))).scalar_one()}\n")
    print("| database | key | callers | pairs a second | reserve p50, p99 ms | settle p50, p99 ms |")
    print("|---|---|---|---|---|---|")
    for name, url in urls.items():
        async with open_database(url) as database:
            for spender, told in ((PLAIN, "budget"), (LIMITED, "budget and three limits")):
                await measure(database, f"| {name} | {told}", spender)


async def measure(database: Database, told: str, spender: Spender) -> None:
    async with open_ledger(database, SystemClock(), "bench") as ledger:
        await pair(ledger, spender, [], [])
        for callers, pairs in PAIRS.items():
            reserving: list[float] = []
            settling: list[float] = []
            turns = iter(range(pairs))
            began = time.perf_counter()
            await asyncio.gather(*[take_turns(ledger, spender, turns, reserving, settling) for _ in range(callers)])
            rate = pairs / (time.perf_counter() - began)
            print(f"{told} | {callers} | {rate:.0f} | {quantiles(reserving)} | {quantiles(settling)} |", flush=True)


async def take_turns(
    ledger: Ledger, spender: Spender, turns: Iterator[int], reserving: list[float], settling: list[float]
) -> None:
    for _ in turns:
        await pair(ledger, spender, reserving, settling)


async def pair(ledger: Ledger, spender: Spender, reserving: list[float], settling: list[float]) -> None:
    """One request's worth, timed."""
    number = next(_numbers)
    asked = Reservation(
        id=f"led_{number:08}",
        at=datetime.now(UTC),
        spenders=(spender,),
        endpoint="/v1/analyze",
        model="claude-sonnet-5-5",
        bound_usd=Decimal("0.02"),
        request_id=f"req_{number:08}",
        images=1,
        tokens=1_400,
    )
    began = time.perf_counter()
    await ledger.reserve(asked)
    reserved = time.perf_counter()
    assert await ledger.settle(asked.id, SETTLED)
    reserving.append(reserved - began)
    settling.append(time.perf_counter() - reserved)


def quantiles(seconds: list[float]) -> str:
    return f"{1000 * statistics.median(seconds):.1f}, {1000 * statistics.quantiles(seconds, n=100)[98]:.1f}"


if __name__ == "__main__":
    main()
