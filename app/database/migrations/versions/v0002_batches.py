"""Whose batches are whose, and how many requests a row of the ledger stands for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the table and the column; every row until now stood for one request."""
    op.create_table(
        "batches",
        sa.Column("id", sa.String(256), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("shares", sa.JSON, nullable=False),
        sa.Column("upstream_request_id", sa.String(200)),
        sa.Column("timing_ms", sa.JSON, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("settled_at", _INSTANT),
    )
    op.create_index("ix_batches_owner_created_at", "batches", ["owner", "created_at"])
    op.add_column("requests", sa.Column("requests", sa.Integer, nullable=False, server_default="1"))
