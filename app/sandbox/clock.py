"""The time of day in the sandbox: where it comes from and how it is written."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from app.domain import Json

Clock: TypeAlias = Callable[[], datetime]
"""Gives the present instant, aware."""


def now_utc() -> datetime:
    """The present instant by the machine's clock."""
    return datetime.now(UTC)


def rfc3339(instant: datetime | None) -> Json:
    """The instant in RFC 3339, in UTC; None stays None."""
    return None if instant is None else instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
