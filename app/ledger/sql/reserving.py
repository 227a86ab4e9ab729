"""Writes down what is about to be spent, or refuses: the limits, the budgets and the row, all in one transaction."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, insert

from app.database.tables import requests
from app.domain import Spender
from app.ledger.money import bound_nanousd, budget_nanousd, usd
from app.ledger.periods import period_key, period_keys
from app.ledger.rates import Draw, draws_of
from app.ledger.records import RateLimit, Reservation
from app.ledger.refusals import too_dear, too_fast, too_many, too_much_at_once
from app.ledger.sql.idempotency import write_claim
from app.ledger.sql.sums import Sum, add, draw
from app.ledger.sql.texts import storable


def write_reservation(
    reservations: Sequence[Reservation], instance_id: str, connection: Connection
) -> tuple[RateLimit, ...]:
    """What is left of each limit by the minute: the tightest of the spenders'.

    Several are the parts of one call, with a row for each; limits and budgets have room for all of them or for none.
    Sums are added to first and checked then, under the lock of their rows; the caller's transaction undoes a refusal.

    Raises:
        AppError: a limit or a budget has no room for it; its Idempotency-Key belongs to another request.
    """
    for one in reservations:
        if one.claim is not None:
            write_claim(one.claim, instance_id, one.at, connection)
    whole = _together(reservations)
    limits = _draw(whole, connection)
    connection.execute(_insert_row, [_row(one, instance_id) for one in reservations])
    _reserve(whole, connection)  # last, for rows that all requests of a key share are locked from here on
    return limits


def _together(parts: Sequence[Reservation]) -> Reservation:
    """The parts as one; each bound is rounded by itself, as each is taken back by itself."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        bound_usd=usd(sum(bound_nanousd(part.bound_usd) for part in parts)),
        requests=sum(part.requests for part in parts),
        images=sum(part.images for part in parts),
        tokens=sum(part.tokens for part in parts),
    )


_insert_row = insert(requests)


def _row(reservation: Reservation, instance_id: str) -> dict[str, object]:
    key, *token = reservation.spenders
    return {
        "id": reservation.id,
        "at": reservation.at,
        "key_id": key.id,
        "token_id": token[0].id if token else None,
        "endpoint": storable(reservation.endpoint, 100),
        "model": storable(reservation.model, 200),
        "state": "reserved",
        "bound_nanousd": bound_nanousd(reservation.bound_usd),
        "request_id": storable(reservation.request_id, 64),
        "requests": reservation.requests,
        "images": reservation.images,
        "bytes_before": 0,
        "bytes_after": 0,
        "instance_id": instance_id,
    }


def _draw(reservation: Reservation, connection: Connection) -> tuple[RateLimit, ...]:
    draws = draws_of(reservation)
    for one in draws:
        if not one.fits_ever:
            raise too_much_at_once(one, reservation)
    full = draw(connection, draws)
    waits = {one: one.wait_s(full[one.key_id, one.kind]) for one in draws}
    longest = max(draws, key=lambda one: waits[one], default=None)
    if longest is not None and waits[longest]:
        raise too_fast(longest, waits[longest], reservation)
    return _tightest(draws, full)


def _tightest(draws: list[Draw], full: dict[tuple[str, str], int]) -> tuple[RateLimit, ...]:
    by_kind: dict[str, RateLimit] = {}
    for one in draws:
        left = one.left(full[one.key_id, one.kind])
        if one.kind not in by_kind or left.remaining < by_kind[one.kind].remaining:
            by_kind[one.kind] = left
    return tuple(by_kind.values())


def _reserve(reservation: Reservation, connection: Connection) -> None:
    bound = bound_nanousd(reservation.bound_usd)
    additions = [
        Sum(spender.id, period, reserved_nanousd=bound, requests=reservation.requests)
        for spender in reservation.spenders
        for period in period_keys(reservation.at).values()
    ]
    sums = add(connection, additions)
    for spender in reservation.spenders:
        _check_budget(spender, sums[spender.id, period_key(spender.limits.budget_period, reservation.at)], reservation)
        _check_requests(spender, sums[spender.id, "total"], reservation)


def _check_budget(spender: Spender, total: Sum, reservation: Reservation) -> None:
    if spender.limits.budget_usd is None:
        return
    budget = budget_nanousd(spender.limits.budget_usd)
    if total.reserved_nanousd + total.settled_nanousd > budget:
        bound = bound_nanousd(reservation.bound_usd)
        before = total.reserved_nanousd - bound
        raise too_dear(spender, budget, total.settled_nanousd, before, bound, reservation)


def _check_requests(spender: Spender, total: Sum, reservation: Reservation) -> None:
    most = spender.limits.max_requests
    if most is not None and total.requests > most:
        raise too_many(spender, most, reservation)
