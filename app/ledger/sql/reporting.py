"""Reads the ledger: what a spender has spent, single requests by page, and sums over them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, String, and_, case, func, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import instances, requests, spending
from app.domain import Spender
from app.errors import AppError, ErrorCode
from app.ledger.money import usd
from app.ledger.periods import period_key, renews_at
from app.ledger.records import Spending
from app.ledger.reports import TOKEN_FIELDS, Entry, EntryState, GroupBy, Page, Tokens, UsageGroup, UsageReport

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# literals, not parameters: PostgreSQL takes no two parameters for the same, and so no group for its own expression
_UTC = literal_column("'UTC'", String())
_ISO_DAY = literal_column("'YYYY-MM-DD'", String())

_MICROSECOND = timedelta(microseconds=1)

_anything = select(instances.c.id).limit(1)


async def read_anything(connection: AsyncConnection) -> None:
    """Nothing, where the database answers."""
    await connection.execute(_anything)


async def read_spending(spender: Spender, now: datetime, connection: AsyncConnection) -> Spending:
    """The sums of the current period; zeros where nothing was reserved in it."""
    period = spender.limits.budget_period
    query = select(spending).where(spending.c.key_id == spender.id, spending.c.period == period_key(period, now))
    row = (await connection.execute(query)).one_or_none()
    return Spending(
        period=period,
        budget_usd=spender.limits.budget_usd,
        reserved_usd=Decimal(0) if row is None else usd(row.reserved_nanousd),
        settled_usd=Decimal(0) if row is None else usd(row.settled_nanousd),
        requests=0 if row is None else row.requests,
        renews_at=renews_at(period, now),
    )


async def read_page(  # noqa: PLR0913 - filters, each by name
    connection: AsyncConnection,
    *,
    state: EntryState | None,
    key_ids: Sequence[str] | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: str | None,
) -> Page:
    """That many entries, newest first, behind the cursor."""
    query = select(requests).where(*_within(key_ids, since, until))
    if state is not None:
        query = query.where(requests.c.state == state)
    if after is not None:
        query = query.where(_behind(after))
    query = query.order_by(requests.c.at.desc(), requests.c.id.desc()).limit(limit + 1)
    rows = (await connection.execute(query)).all()
    entries = tuple(_entry(row) for row in rows[:limit])
    return Page(entries, _cursor(entries[-1]) if len(rows) > limit and entries else None)


async def read_usage(
    connection: AsyncConnection,
    key_ids: Sequence[str] | None,
    since: datetime | None,
    until: datetime | None,
    group_by: GroupBy,
) -> UsageReport:
    """Sums by group, added up once more for the total."""
    name = _name(group_by, connection).label("name")
    query = (
        select(name, *_sums())
        .where(requests.c.state.in_(["settled", "unknown"]), *_within(key_ids, since, until))
        .group_by(name)
        .order_by(name)
    )
    groups = tuple(_group(row) for row in (await connection.execute(query)).all())
    return UsageReport(groups, _total(groups))


def _within(key_ids: Sequence[str] | None, since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if key_ids is not None:
        conditions.append(requests.c.key_id.in_(key_ids))
    if since is not None:
        conditions.append(requests.c.at >= since)
    if until is not None:
        conditions.append(requests.c.at < until)
    return conditions


def _name(group_by: GroupBy, connection: AsyncConnection) -> ColumnElement[str]:
    match group_by:
        case "key":
            return requests.c.key_id
        case "model":
            return requests.c.model
        case "endpoint":
            return requests.c.endpoint
        case "day" if connection.dialect.name == "postgresql":
            return func.to_char(func.timezone(_UTC, requests.c.at), _ISO_DAY)
        case "day":
            return func.substr(requests.c.at, 1, 10)


def _sums() -> list[ColumnElement[Any]]:
    settled = requests.c.state == "settled"
    unpriced = and_(settled, requests.c.cost_nanousd.is_(None))
    tokens = [
        func.coalesce(func.sum(requests.c.usage[field].as_integer()), 0).label(kind)
        for kind, field in TOKEN_FIELDS.items()
    ]
    return [
        func.sum(requests.c.requests).label("requests"),
        func.sum(requests.c.images).label("images"),
        *tokens,
        func.coalesce(func.sum(requests.c.cost_nanousd), 0).label("cost_nanousd"),
        func.sum(case((settled, 0), else_=requests.c.bound_nanousd)).label("unknown_nanousd"),
        func.sum(case((unpriced, 1), else_=0)).label("unpriced"),
    ]


def _group(row: Row[Any]) -> UsageGroup:
    """PostgreSQL gives large sums as decimals, all of them whole."""
    return UsageGroup(
        name=row.name,
        requests=int(row.requests),
        images=int(row.images),
        tokens=Tokens(int(row.input), int(row.output), int(row.cache_read), int(row.cache_creation)),
        cost_usd=usd(int(row.cost_nanousd)),
        unknown_usd=usd(int(row.unknown_nanousd)),
        unpriced=int(row.unpriced),
    )


def _total(groups: Sequence[UsageGroup]) -> UsageGroup:
    return UsageGroup(
        name="total",
        requests=sum(group.requests for group in groups),
        images=sum(group.images for group in groups),
        tokens=Tokens(
            input=sum(group.tokens.input for group in groups),
            output=sum(group.tokens.output for group in groups),
            cache_read=sum(group.tokens.cache_read for group in groups),
            cache_creation=sum(group.tokens.cache_creation for group in groups),
        ),
        cost_usd=sum((group.cost_usd for group in groups), Decimal(0)),
        unknown_usd=sum((group.unknown_usd for group in groups), Decimal(0)),
        unpriced=sum(group.unpriced for group in groups),
    )


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        id=row.id,
        at=row.at,
        key_id=row.key_id,
        token_id=row.token_id,
        endpoint=row.endpoint,
        model=row.model,
        state=row.state,
        status=row.status,
        request_id=row.request_id,
        upstream_request_id=row.upstream_request_id,
        images=row.images,
        bytes_before=row.bytes_before,
        bytes_after=row.bytes_after,
        usage=row.usage,
        cost_usd=None if row.cost_nanousd is None else usd(row.cost_nanousd),
        bound_usd=usd(row.bound_nanousd),
        timing_ms=row.timing_ms or {},
        settled_at=row.settled_at,
        requests=row.requests,
    )


def _cursor(entry: Entry) -> str:
    """Where a page ended: its last instant and id, both of which stay, whatever is added before them."""
    return f"{(entry.at - _EPOCH) // _MICROSECOND}.{entry.id}"


def _behind(cursor: str) -> ColumnElement[bool]:
    microseconds, _, last_id = cursor.partition(".")
    try:
        at = _EPOCH + int(microseconds) * _MICROSECOND
        if not (last_id.isascii() and last_id.isprintable() and last_id):  # no database takes all text
            raise ValueError(last_id)  # noqa: TRY301 - it is one more way to be no cursor
    except (ValueError, OverflowError):
        raise AppError(ErrorCode.INVALID_REQUEST, "page: no such page; take it from next_page", field="page") from None
    return or_(requests.c.at < at, and_(requests.c.at == at, requests.c.id < last_id))
