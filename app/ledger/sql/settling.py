"""Writes down what became of a request, once, and moves its sums from reserved to settled."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, select, update

from app.database.tables import requests
from app.domain import Json, Usage
from app.ledger.money import cost_nanousd
from app.ledger.periods import period_keys
from app.ledger.records import Settlement
from app.ledger.reports import TOKEN_FIELDS
from app.ledger.sql.idempotency import end_claim
from app.ledger.sql.sums import Sum, add
from app.ledger.sql.texts import storable

_MOST_TOKENS = 2**31

_columns: list[ColumnElement[Any]] = [
    requests.c.at,
    requests.c.key_id,
    requests.c.token_id,
    requests.c.bound_nanousd,
    requests.c.requests,
]

_settle = (  # made once: the values are those of the columns that it is executed with
    update(requests)
    .where(requests.c.id == bindparam("reservation_id"), requests.c.state == bindparam("before"))
    .returning(*_columns)
)


class NeverReservedError(LookupError):
    """There is no such row: nothing was reserved under that id."""


def write_settlement(reservation_id: str, settlement: Settlement, now: datetime, connection: Connection) -> bool:
    """Whether it was settled by this; False where it already was.

    What is unknown may still be settled or released, once: an answer may come after its process was taken for dead.

    Raises:
        NeverReservedError: no such row.
    """
    if settlement.claim is not None:
        end_claim(reservation_id, settlement.claim, settlement.answer, connection)
    values = {"reservation_id": reservation_id, **_values(settlement, now)}
    for before in ("reserved",) if settlement.state == "unknown" else ("reserved", "unknown"):
        row = connection.execute(_settle, {**values, "before": before}).one_or_none()
        if row is not None:
            add(connection, _moved(row, before, settlement))
            return True
    if connection.execute(select(requests.c.id).where(requests.c.id == reservation_id)).first() is None:
        raise NeverReservedError(reservation_id)
    return False


def _moved(row: Row[Any], before: str, settlement: Settlement) -> list[Sum]:
    """What is added to every sum that the reservation stands in, of its own time."""
    bound: int = row.bound_nanousd
    reserved, settled = (-bound, 0) if before == "reserved" else (0, -bound)
    settled += bound if settlement.state == "unknown" or settlement.partly else _cost(settlement) or 0
    given_back = -row.requests if settlement.state == "released" else 0
    return [
        Sum(spender, period, reserved, settled, given_back)
        for spender in (row.key_id, row.token_id)
        if spender is not None
        for period in period_keys(row.at).values()
    ]


def _cost(settlement: Settlement) -> int | None:
    match settlement.state:
        case "released":
            return 0
        case "unknown":
            return None
        case "settled":
            return None if settlement.cost_usd is None else cost_nanousd(settlement.cost_usd)


def _values(settlement: Settlement, now: datetime) -> dict[str, object]:
    upstream = settlement.upstream_request_id
    return {
        "state": settlement.state,
        "cost_nanousd": _cost(settlement),
        "status": settlement.status,
        "upstream_request_id": None if upstream is None else storable(upstream, 200),
        "images": settlement.images,
        "bytes_before": settlement.bytes_before,
        "bytes_after": settlement.bytes_after,
        "usage": _countable(settlement.usage),
        "timing_ms": dict(settlement.timing_ms),
        "settled_at": now,
    }


def _countable(usage: Usage) -> dict[str, Json]:
    """The usage with nothing but whole numbers where reports sum: one odd value would fail every one of them."""
    counts: Mapping[str, Json] = {
        field: count if type(count) is int and 0 <= count < _MOST_TOKENS else 0  # true is an int to Python
        for field in TOKEN_FIELDS.values()
        if (count := usage.get(field)) is not None
    }
    return {**usage, **counts}
