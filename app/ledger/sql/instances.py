"""Which processes are alive, and what the dead ones left reserved."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, select, update

from app.database.tables import instances, requests
from app.ledger.periods import period_keys
from app.ledger.sql.sums import Sum, add
from app.ledger.sql.upserts import upsert

DEAD_AFTER = timedelta(seconds=30)
"""Without a heartbeat."""

MOST_AT_ONCE = 500
"""Rows that one transaction marks; the next one marks the rest."""


def begin(instance_id: str, now: datetime, connection: Connection) -> None:
    """Alive from now on; what an earlier process of that name left is a dead one's."""
    connection.execute(delete(instances).where(instances.c.id == instance_id))
    while mark_unknown_of(instance_id, now, connection) == MOST_AT_ONCE:
        pass
    beat(instance_id, now, connection)


def beat(instance_id: str, now: datetime, connection: Connection) -> None:
    """Seen now."""
    row = upsert(instances, connection).values(id=instance_id, started_at=now, seen_at=now)
    connection.execute(row.on_conflict_do_update(index_elements=[instances.c.id], set_={"seen_at": now}))


def end(instance_id: str, now: datetime, connection: Connection) -> None:
    """Gone, with nothing left reserved."""
    while mark_unknown_of(instance_id, now, connection) == MOST_AT_ONCE:
        pass
    connection.execute(delete(instances).where(instances.c.id == instance_id))


def mark_unknown_of(instance_id: str, now: datetime, connection: Connection) -> int:
    """How many rows of that process were still reserved and are unknown now."""
    query = _reserved().where(requests.c.instance_id == instance_id)
    return _mark(connection.execute(query).all(), now, connection)


def mark_unknown_of_the_dead(unseen_since: datetime, now: datetime, connection: Connection) -> int:
    """How many rows were marked of processes not seen since then, at most `MOST_AT_ONCE`; their heartbeats go."""
    connection.execute(delete(instances).where(instances.c.seen_at < unseen_since))
    query = _reserved().where(requests.c.instance_id.not_in(select(instances.c.id)))
    return _mark(connection.execute(query).all(), now, connection)


_columns: list[ColumnElement[Any]] = [
    requests.c.id,
    requests.c.at,
    requests.c.key_id,
    requests.c.token_id,
    requests.c.bound_nanousd,
]


def _reserved() -> Select[Any]:
    """Rows that nobody is settling right now, in the one order in which they are locked."""
    return (
        select(*_columns)
        .where(requests.c.state == "reserved")
        .order_by(requests.c.id)
        .limit(MOST_AT_ONCE)
        .with_for_update(skip_locked=True)
    )


def _mark(rows: Sequence[Row[Any]], now: datetime, connection: Connection) -> int:
    """Their bounds count as spent: nobody knows what the vendor billed, and nothing is given back on a guess."""
    if rows:
        ids = [row.id for row in rows]
        connection.execute(update(requests).where(requests.c.id.in_(ids)).values(state="unknown", settled_at=now))
        add(connection, _moved(rows))
    return len(rows)


def _moved(rows: Sequence[Row[Any]]) -> list[Sum]:
    bounds: Counter[tuple[str, str]] = Counter()
    for row in rows:
        for spender in filter(None, (row.key_id, row.token_id)):
            for period in period_keys(row.at).values():
                bounds[spender, period] += row.bound_nanousd
    return [Sum(key_id, period, -bound, bound) for (key_id, period), bound in bounds.items()]
