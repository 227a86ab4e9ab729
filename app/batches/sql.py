"""The table of batches: whose each is, and the rows of the ledger that its results will settle."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import ColumnElement, Row, and_, delete, insert, or_, select, update

from app.database.sql import Database
from app.database.tables import batches
from app.domain import BatchShare, StoredBatch


class BatchStore:
    """The table, in the shared database; every question names the owner, so that no answer is about another's batch."""

    def __init__(self, database: Database) -> None:
        """The database belongs to whoever opened it."""
        self._database = database

    async def add(self, batch: StoredBatch) -> None:
        """Remember a batch."""
        values = {
            "id": batch.id,
            "owner": batch.owner,
            "requests": batch.requests,
            "shares": [asdict(share) for share in batch.shares],
            "upstream_request_id": batch.upstream_request_id,
            "timing_ms": dict(batch.timing_ms),
            "created_at": batch.created_at,
            "settled_at": batch.settled_at,
        }
        async with self._database.writing() as connection:
            await connection.execute(insert(batches).values(values))

    async def find(self, owner: str, batch_id: str) -> StoredBatch | None:
        """The batch, where it exists and is the owner's."""
        query = select(batches).where(batches.c.owner == owner, batches.c.id == batch_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _batch(row)

    async def newest(self, owner: str, limit: int, behind: StoredBatch | None) -> list[StoredBatch]:
        """The owner's batches, newest first; only those that are older than `behind`, where that is given."""
        query = select(batches).where(batches.c.owner == owner)
        if behind is not None:
            query = query.where(_older(behind))
        query = query.order_by(batches.c.created_at.desc(), batches.c.id.desc()).limit(limit)
        async with self._database.reading() as connection:
            return [_batch(row) for row in (await connection.execute(query)).all()]

    async def next_newer(self, owner: str, limit: int, before: StoredBatch) -> list[StoredBatch]:
        """The owner's batches that are newer than `before`, the one nearest to it first."""
        query = select(batches).where(batches.c.owner == owner, batches.c.id != before.id, ~_older(before))
        query = query.order_by(batches.c.created_at, batches.c.id).limit(limit)
        async with self._database.reading() as connection:
            return [_batch(row) for row in (await connection.execute(query)).all()]

    async def mark_settled(self, batch_id: str, at: datetime) -> None:
        """Remember that what it did cost has been written down."""
        async with self._database.writing() as connection:
            await connection.execute(update(batches).where(batches.c.id == batch_id).values(settled_at=at))

    async def remove(self, owner: str, batch_id: str) -> None:
        """Forget a batch."""
        async with self._database.writing() as connection:
            await connection.execute(delete(batches).where(batches.c.owner == owner, batches.c.id == batch_id))


def _older(than: StoredBatch) -> ColumnElement[bool]:
    """The id decides between those of one instant."""
    same = and_(batches.c.created_at == than.created_at, batches.c.id < than.id)
    return or_(batches.c.created_at < than.created_at, same)


def _batch(row: Row[tuple[object, ...]]) -> StoredBatch:
    return StoredBatch(
        id=row.id,
        owner=row.owner,
        requests=row.requests,
        shares=tuple(BatchShare(**share) for share in row.shares),
        upstream_request_id=row.upstream_request_id,
        timing_ms=row.timing_ms,
        created_at=row.created_at,
        settled_at=row.settled_at,
    )
