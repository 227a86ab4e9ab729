"""Makers of reservations and settlements, and the clock of these tests."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from app.database.sql import open_database
from app.domain import KeyLimits, Spender
from app.ledger import Ledger, Reservation, Settlement, open_ledger

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = Spender("key-1")

_numbers = count(1)


class Clock:
    """It stands still until it is told to go on."""

    def __init__(self) -> None:
        self._now = NOON

    def now(self) -> datetime:
        return self._now

    def advance(self, **duration: float) -> datetime:
        self._now += timedelta(**duration)
        return self._now


@asynccontextmanager
async def opened(url: str, clock: Clock, instance_id: str = "one", heartbeat_s: float = 5) -> AsyncGenerator[Ledger]:
    """A ledger with a database connection of its own, as another process has it."""
    async with (
        open_database(url) as database,
        open_ledger(database, clock, instance_id, heartbeat_s=heartbeat_s) as ledger,
    ):
        yield ledger


def limited(spender_id: str = "key-1", **limits: Any) -> Spender:
    """A key with limits; money as text."""
    if "budget_usd" in limits:
        limits["budget_usd"] = Decimal(limits["budget_usd"])
    return Spender(spender_id, KeyLimits(**limits))


def reservation(*spenders: Spender, bound: str = "1", at: datetime = NOON, **values: Any) -> Reservation:
    """A request of one picture that may cost a dollar, unless the test says otherwise."""
    common: dict[str, Any] = {
        "id": f"led_{next(_numbers):08}",
        "endpoint": "/v1/analyze",
        "model": "claude-sonnet-5-5",
        "request_id": "req_1",
        "images": 1,
        "tokens": 1_000,
    }
    return Reservation(at=at, spenders=spenders or (KEY,), bound_usd=Decimal(bound), **{**common, **values})


def settlement(cost: str | None = "0.25", **values: Any) -> Settlement:
    """A request that went well."""
    common: dict[str, Any] = {
        "state": "settled",
        "status": 200,
        "usage": {"input_tokens": 1_000, "output_tokens": 50},
        "upstream_request_id": "req_upstream",
        "images": 1,
        "bytes_before": 4_000_000,
        "bytes_after": 300_000,
        "timing_ms": {"upstream": 812.5},
    }
    return Settlement(cost_usd=None if cost is None else Decimal(cost), **{**common, **values})


RELEASED = settlement(None, state="released", status=400, usage={}, upstream_request_id=None)
UNKNOWN = settlement(None, state="unknown", status=None, usage={}, upstream_request_id=None)
