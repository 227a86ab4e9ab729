"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class MovableClock:
    """Noon, until it is moved."""

    def __init__(self) -> None:
        self._moved_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 12, tzinfo=UTC) + timedelta(seconds=self._moved_s)

    def monotonic(self) -> float:
        return 1_000.0 + self._moved_s

    def move(self, seconds: float) -> None:
        self._moved_s += seconds
