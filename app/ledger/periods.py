"""Days and months of UTC, in which spending is summed."""

from datetime import UTC, datetime, timedelta

from app.domain import BudgetPeriod


def period_key(period: BudgetPeriod, at: datetime) -> str:
    """`total`, `2026-11` or `2026-11-22`."""
    return period_keys(at)[period]


def period_keys(at: datetime) -> dict[BudgetPeriod, str]:
    """All three that an instant is in.

    Each is always summed, not only that of the budget: the instant of a reservation then says which rows it stands in,
    whatever becomes of the key's limits before it is settled, and a budget whose period is changed holds at once.
    """
    day = at.astimezone(UTC).date().isoformat()
    return {"total": "total", "month": day[:-3], "day": day}


def renews_at(period: BudgetPeriod, at: datetime) -> datetime | None:
    """When the next period begins; never, for `total`."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "total":
            return None
        case "day":
            return midnight + timedelta(days=1)
        case "month":
            return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
