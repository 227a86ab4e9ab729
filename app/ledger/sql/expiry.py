"""Deletes tokens that are long expired, with all that was summed for them; their requests stay in the ledger."""

from datetime import datetime

from sqlalchemy import Connection, delete, select

from app.database.tables import buckets, keys, spending

TOKENS_AT_ONCE = 500
"""Of one transaction; the next one deletes the rest."""


def forget_tokens(expired_before: datetime, connection: Connection) -> int:
    """How many tokens were deleted, at most `TOKENS_AT_ONCE`; one with a request still running is left until later."""
    running = select(spending.c.key_id).where(spending.c.key_id == keys.c.id, spending.c.reserved_nanousd != 0)
    query = (
        select(keys.c.id)
        .where(keys.c.parent_id.is_not(None), keys.c.expires_at < expired_before, ~running.exists())
        .order_by(keys.c.id)
        .limit(TOKENS_AT_ONCE)
        .with_for_update(skip_locked=True, of=keys)
    )
    ids = connection.execute(query).scalars().all()
    if ids:
        for column in (buckets.c.key_id, spending.c.key_id, keys.c.id):
            connection.execute(delete(column.table).where(column.in_(ids)))
    return len(ids)
