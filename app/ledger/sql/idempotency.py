"""Idempotency-Keys: claimed in the transaction that reserves, their answers kept in the one that settles.

A key is free again where nobody will answer any more: its request ended without an answer, its process died, or a day
has passed. Both transactions lock rows of this table before all others, so that two of them cannot block each other.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import idempotency, instances, requests
from app.ledger.records import MOST_KEPT_BYTES, Claim, WireAnswer
from app.ledger.refusals import already_running, never_kept, other_request
from app.ledger.sql.instances import DEAD_AFTER, MOST_AT_ONCE
from app.ledger.sql.upserts import upsert

KEPT_FOR = timedelta(hours=24)

_key = (idempotency.c.owner, idempotency.c.idempotency_key)


async def read_answer(claim: Claim, instance_id: str, now: datetime, connection: AsyncConnection) -> WireAnswer | None:
    """The answer to the first request with that key; None where the key is free.

    Raises:
        AppError: `idempotency_conflict`, the first was another request, or its answer too long to keep;
            `idempotency_in_progress`, it is being answered.
    """
    query = select(idempotency, _is_free(instance_id, now).label("free")).where(*_of(claim))
    row = (await connection.execute(query)).one_or_none()
    return None if row is None or row.free else _answer(row, claim)


def write_claim(claim: Claim, instance_id: str, now: datetime, connection: Connection) -> None:
    """The key belongs to the request that is being reserved.

    Raises:
        AppError: it belongs to another: as `read_answer`, and `idempotency_in_progress` also where that was answered
            since the caller looked.
    """
    values: dict[str, Any] = {
        **dict.fromkeys(("status", "headers", "answer")),
        "body_digest": claim.digest,
        "state": "running",
        "instance_id": instance_id,
        "created_at": now,
    }
    row = upsert(idempotency, connection).values(owner=claim.owner, idempotency_key=claim.key, **values)
    claiming = row.on_conflict_do_update(index_elements=_key, set_=values, where=_is_free(instance_id, now))
    if connection.execute(claiming.returning(idempotency.c.owner)).first() is None:
        found = connection.execute(select(idempotency).where(*_of(claim))).one_or_none()
        if found is not None:
            _answer(found, claim)
        raise already_running()


def end_claim(reservation_id: str, claim: Claim, answer: WireAnswer | None, connection: Connection) -> None:
    """Keep the answer for whoever asks again; without one, free the key.

    Does nothing where the claim is no longer that of the reservation: another process has taken it over.
    """
    instance = select(requests.c.instance_id).where(requests.c.id == reservation_id).scalar_subquery()
    ours = (
        *_of(claim),
        idempotency.c.state == "running",
        idempotency.c.body_digest == claim.digest,
        idempotency.c.instance_id == instance,
    )
    if answer is None:
        connection.execute(delete(idempotency).where(*ours))
    else:
        content = answer.content if len(answer.content) <= MOST_KEPT_BYTES else None
        values = {"status": answer.status, "headers": dict(answer.headers), "answer": content}
        connection.execute(update(idempotency).where(*ours).values(state="done", **values))


def delete_old(now: datetime, connection: Connection) -> int:
    """How many keys were deleted, with their answers, because a day has passed: at most `MOST_AT_ONCE`."""
    old = select(*_key).where(_is_old(now)).limit(MOST_AT_ONCE)
    deleting = delete(idempotency).where(tuple_(*_key).in_(old)).returning(idempotency.c.owner)
    return len(connection.execute(deleting).all())


def _of(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return idempotency.c.owner == claim.owner, idempotency.c.idempotency_key == claim.key


def _is_free(instance_id: str, now: datetime) -> ColumnElement[bool]:
    """Whether the day has passed, or the process that was to answer is dead; `instance_id` is the one that asks."""
    # no correlated subquery: inside ON CONFLICT it would read this table again, as it was before the other's commit
    alive = select(instances.c.id).where(instances.c.seen_at >= now - DEAD_AFTER)
    orphaned = and_(
        idempotency.c.state == "running",
        idempotency.c.instance_id != instance_id,
        idempotency.c.instance_id.not_in(alive),
    )
    return or_(_is_old(now), orphaned)


def _is_old(now: datetime) -> ColumnElement[bool]:
    return idempotency.c.created_at <= now - KEPT_FOR


def _answer(row: Row[Any], claim: Claim) -> WireAnswer:
    if row.body_digest != claim.digest:
        raise other_request()
    if row.state == "running":
        raise already_running()
    if row.answer is None:
        raise never_kept(MOST_KEPT_BYTES)
    return WireAnswer(row.status, row.headers, row.answer)
