"""Limits by the minute as the generic cell rate algorithm keeps them: arithmetic on one number for each bucket.

The number is the microsecond at which the bucket is full again. A request moves it on by its share of a minute, and
fits if it is then at most one minute away: that is the burst. Source: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.domain import KeyLimits
from app.ledger.records import RateKind, RateLimit, Reservation

_MINUTE_US = 60_000_000
_SECOND_US = 1_000_000
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Draw:
    """What a request takes out of one bucket: `amount` of the `limit` a minute, at an instant."""

    key_id: str
    kind: RateKind
    limit: int
    amount: int
    at_us: int

    @property
    def share_us(self) -> int:
        """How long the bucket takes to fill up again; rounded down, or seven times a seventh would not fit."""
        return self.amount * _MINUTE_US // self.limit if self.limit else _MINUTE_US + 1

    @property
    def fits_ever(self) -> bool:
        """Whether a full bucket holds so much."""
        return self.amount <= self.limit

    def wait_s(self, full_at_us: int) -> int:
        """Whole seconds until it fits, where the bucket would then be full at that time; 0 if it does now."""
        return max(-(-(full_at_us - self.at_us - _MINUTE_US) // _SECOND_US), 0)

    def left(self, full_at_us: int) -> RateLimit:
        """What remains when it has been taken."""
        remaining = (self.at_us + _MINUTE_US - full_at_us) * self.limit // _MINUTE_US
        return RateLimit(self.kind, self.limit, max(remaining, 0), _EPOCH + full_at_us * _MICROSECOND)


def draws_of(reservation: Reservation) -> list[Draw]:
    """What it takes from every bucket of every spender, in the one order in which rows are locked."""
    at_us = (reservation.at - _EPOCH) // _MICROSECOND
    return sorted(
        (
            Draw(spender.id, kind, limit, amount, at_us)
            for spender in reservation.spenders
            for kind, limit, amount in _counted(spender.limits, reservation)
            if limit is not None and amount
        ),
        key=lambda draw: (draw.key_id, draw.kind),
    )


def _counted(limits: KeyLimits, reservation: Reservation) -> tuple[tuple[RateKind, int | None, int], ...]:
    return (
        ("requests", limits.requests_per_minute, reservation.requests),
        ("images", limits.images_per_minute, reservation.images),
        ("tokens", limits.tokens_per_minute, reservation.tokens),
    )
