"""All tables of the first release; `files` may be there already, made by a version that had no migrations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make every table."""
    _files()
    _keys()
    _requests()
    _sums()
    _idempotency()
    _installation()


def _files() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("vendor_id", sa.String(200), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("media_type", sa.String(200), nullable=False),
        sa.Column("width_px", sa.Integer),
        sa.Column("height_px", sa.Integer),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_files_owner", "files", ["owner"], if_not_exists=True)


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("parent_id", sa.String(64), sa.ForeignKey("keys.id", ondelete="CASCADE")),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("budget_nanousd", sa.BigInteger),
        sa.Column("budget_period", sa.String(8)),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("images_per_minute", sa.Integer),
        sa.Column("tokens_per_minute", sa.BigInteger),
        sa.Column("models", sa.JSON),
        sa.Column("endpoints", sa.JSON),
        sa.Column("origin", sa.String(255)),
        sa.Column("max_requests", sa.BigInteger),
        sa.Column("expires_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("revoked_at", _INSTANT),
    )
    op.create_index("ix_keys_digest", "keys", ["digest"], unique=True)
    op.create_index("ix_keys_parent_id", "keys", ["parent_id"])
    op.create_index("ix_keys_expires_at", "keys", ["expires_at"])


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("token_id", sa.String(64)),
        sa.Column("endpoint", sa.String(100), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("bound_nanousd", sa.BigInteger, nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger),
        sa.Column("status", sa.Integer),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("upstream_request_id", sa.String(200)),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("bytes_before", sa.BigInteger, nullable=False),
        sa.Column("bytes_after", sa.BigInteger, nullable=False),
        sa.Column("usage", sa.JSON),
        sa.Column("timing_ms", sa.JSON),
        sa.Column("instance_id", sa.String(64), nullable=False),
        sa.Column("settled_at", _INSTANT),
    )
    op.create_index("ix_requests_at", "requests", ["at"])
    op.create_index("ix_requests_key_id_at", "requests", ["key_id", "at"])
    op.create_index("ix_requests_instance_id_state", "requests", ["instance_id", "state"])


def _sums() -> None:
    op.create_table(
        "spending",
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("period", sa.String(10), primary_key=True),
        sa.Column("reserved_nanousd", sa.BigInteger, nullable=False),
        sa.Column("settled_nanousd", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "buckets",
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("full_at_us", sa.BigInteger, nullable=False),
    )


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String(200), primary_key=True),
        sa.Column("idempotency_key", sa.String(255), primary_key=True),
        sa.Column("body_digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("instance_id", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.JSON),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("created_at", _INSTANT, nullable=False),
    )
    op.create_index("ix_idempotency_instance_id", "idempotency", ["instance_id"])
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])


def _installation() -> None:
    op.create_table(
        "instances",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
    )
    op.create_index("ix_instances_seen_at", "instances", ["seen_at"])
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
    )
