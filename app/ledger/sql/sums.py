"""The rows of `spending` and `buckets`: added to in one statement, made where they are missing.

The statement locks its rows in the order they are given, which is sorted: two that want the same rows wait, and none
for each other. What it returns is what the rows hold with the addition, so that the caller can check it while nobody
else can change it, and undo it by raising.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, Dialect, String, TextClause, bindparam, text

from app.ledger.rates import Draw

_MOST_ROWS = 50
"""Of one statement."""


class Sum(NamedTuple):
    """A row of `spending`, or what is added to one."""

    key_id: str
    period: str
    reserved_nanousd: int = 0
    settled_nanousd: int = 0
    requests: int = 0


def add(connection: Connection, additions: Sequence[Sum]) -> dict[tuple[str, str], Sum]:
    """The rows after the addition, by key and period; no two additions may be to the same."""
    found: list[Sum] = []
    additions = sorted(additions)
    for start in range(0, len(additions), _MOST_ROWS):
        some = additions[start : start + _MOST_ROWS]
        values = tuple(chain.from_iterable(some))
        found += [Sum(*row) for row in connection.exec_driver_sql(_adding(len(some), connection.dialect), values)]
    return {(one.key_id, one.period): one for one in found}


def draw(connection: Connection, draws: Sequence[Draw]) -> dict[tuple[str, str], int]:
    """When each bucket is full again, by key and kind, after all was taken out; `draws` are sorted, of one instant."""
    if not draws:
        return {}
    values: dict[str, object] = {"at_us": draws[0].at_us}
    for row, one in enumerate(draws):
        values |= {f"key_id{row}": one.key_id, f"kind{row}": one.kind, f"full_at_us{row}": one.at_us + one.share_us}
    rows = connection.execute(_drawing(len(draws)), values).all()
    return {(row.key_id, row.kind): row.full_at_us for row in rows}


@lru_cache(_MOST_ROWS)
def _adding(count: int, dialect: Dialect) -> str:
    """As the driver takes it: what SQLAlchemy does for so many values on each execution takes twice as long again.

    There is nothing for it to convert, neither in what goes in, in the order of the fields, nor in what comes out.
    """
    statement = f"""
        INSERT INTO spending (key_id, period, reserved_nanousd, settled_nanousd, requests)
        VALUES {_rows(Sum._fields, count)}
        ON CONFLICT (key_id, period) DO UPDATE SET
            reserved_nanousd = spending.reserved_nanousd + excluded.reserved_nanousd,
            settled_nanousd = spending.settled_nanousd + excluded.settled_nanousd,
            requests = spending.requests + excluded.requests
        RETURNING key_id, period, reserved_nanousd, settled_nanousd, requests
    """  # noqa: S608 - made of names of ours alone
    typed = _typed(statement, ("key_id", "period"), ("reserved_nanousd", "settled_nanousd", "requests"), count)
    return str(typed.compile(dialect=dialect))


@lru_cache
def _drawing(count: int) -> TextClause:
    statement = f"""
        INSERT INTO buckets (key_id, kind, full_at_us) VALUES {_rows(("key_id", "kind", "full_at_us"), count)}
        ON CONFLICT (key_id, kind) DO UPDATE SET full_at_us = CASE
            WHEN buckets.full_at_us > :at_us THEN buckets.full_at_us + excluded.full_at_us - :at_us
            ELSE excluded.full_at_us END
        RETURNING key_id, kind, full_at_us
    """  # noqa: S608 - as above
    return _typed(statement, ("key_id", "kind"), ("full_at_us",), count).bindparams(
        bindparam("at_us", type_=BigInteger)
    )


def _rows(names: Sequence[str], count: int) -> str:
    return ", ".join(f"({', '.join(f':{name}{row}' for name in names)})" for row in range(count))


def _typed(statement: str, texts: Sequence[str], numbers: Sequence[str], count: int) -> TextClause:
    """PostgreSQL has to be told what each parameter is."""
    kinds = [(name, String()) for name in texts] + [(name, BigInteger()) for name in numbers]
    return text(statement).bindparams(
        *[bindparam(f"{name}{row}", type_=kind) for row in range(count) for name, kind in kinds]
    )
