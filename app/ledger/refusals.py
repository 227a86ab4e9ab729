"""The sentences of the ledger's refusals, with the figures; none names a key."""

from datetime import UTC, datetime

from app.domain import BudgetPeriod, Spender
from app.errors import AppError, ErrorCode
from app.ledger.money import shown, usd
from app.ledger.periods import renews_at
from app.ledger.rates import Draw
from app.ledger.records import Reservation

_RETRY_AFTER_S = 1

_EACH: dict[BudgetPeriod, str] = {"day": " a day", "month": " a month", "total": ""}


def too_much_at_once(draw: Draw, reservation: Reservation) -> AppError:
    """More in one request than in a whole minute: no wait helps, so none is advised."""
    message = (
        f"this request has {draw.amount} {draw.kind}; the limit of this {_whose(draw.key_id, reservation)} is "
        f"{draw.limit} a minute, so it never fits: divide it"
    )
    return AppError(ErrorCode.RATE_LIMITED, message, kind=draw.kind, limit=draw.limit, actual=draw.amount)


def too_fast(draw: Draw, wait_s: int, reservation: Reservation) -> AppError:
    """A limit by the minute that has room again after `wait_s`."""
    message = (
        f"the limit of this {_whose(draw.key_id, reservation)} is {draw.limit} {draw.kind} a minute, and this request "
        f"has {draw.amount}; it fits in {wait_s} s"
    )
    return AppError(
        ErrorCode.RATE_LIMITED, message, kind=draw.kind, limit=draw.limit, actual=draw.amount, retry_after_s=wait_s
    )


def too_dear(
    spender: Spender,
    budget_nanousd: int,
    settled_nanousd: int,
    reserved_nanousd: int,
    bound: int,
    reservation: Reservation,
) -> AppError:
    """A budget that what is spent, what is running and this request together exceed."""
    period = spender.limits.budget_period
    renewal = renews_at(period, reservation.at)
    message = (
        f"the budget of this {_whose(spender.id, reservation)} is {shown(budget_nanousd)} USD{_EACH[period]}: "
        f"{shown(settled_nanousd)} spent, {shown(reserved_nanousd)} reserved by running requests, and this one may "
        f"cost up to {shown(bound)}; it {_renewal(renewal)}"
    )
    return AppError(
        ErrorCode.BUDGET_EXHAUSTED,
        message,
        budget_usd=float(usd(budget_nanousd)),
        spent_usd=float(usd(settled_nanousd)),
        reserved_usd=float(usd(reserved_nanousd)),
        bound_usd=float(usd(bound)),
        renews_at=None if renewal is None else _instant(renewal),
    )


def too_many(spender: Spender, most: int, reservation: Reservation) -> AppError:
    """Every request that the key or token was made for has been made, or is running."""
    message = f"this {_whose(spender.id, reservation)} is good for {most} requests, and all of them were made"
    return AppError(ErrorCode.BUDGET_EXHAUSTED, message, limit=most)


def other_request() -> AppError:
    """An Idempotency-Key that was used for something else in the last 24 hours."""
    return AppError(
        ErrorCode.IDEMPOTENCY_CONFLICT,
        "this Idempotency-Key belongs to another request of the last 24 hours",
        hint="repeat that request unchanged, or send a new key",
    )


def never_kept(most_bytes: int) -> AppError:
    """A repeat whose answer cannot be given again, and is not paid for again without being asked."""
    return AppError(
        ErrorCode.IDEMPOTENCY_CONFLICT,
        f"the answer to this Idempotency-Key was longer than {most_bytes} bytes and has not been kept",
        limit=most_bytes,
        hint="send a new key to ask, and pay, again",
    )


def already_running() -> AppError:
    """A repeat that came before its answer."""
    return AppError(
        ErrorCode.IDEMPOTENCY_IN_PROGRESS,
        "the first request with this Idempotency-Key is still being answered",
        retry_after_s=_RETRY_AFTER_S,
    )


def _whose(spender_id: str, reservation: Reservation) -> str:
    return "key" if spender_id == reservation.spenders[0].id else "token"


def _renewal(at: datetime | None) -> str:
    return "does not renew" if at is None else f"renews at {_instant(at)}"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
