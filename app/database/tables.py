"""Every table. What changes here needs a migration beside it; a test holds the two together.

Money is whole nano-dollars (a token of the cheapest kind costs more than one), instants are aware UTC, ids are texts.
Rows of the ledger name keys without a foreign key: what was spent stays known when the key is gone.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from app.database.columns import Instant

metadata = MetaData(
    naming_convention={  # what a later migration changes it must be able to name, on both databases
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Json = JSON(none_as_null=True)

files = Table(  # which of the vendor's files is whose, and what it takes to size and price it later
    "files",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(200), nullable=False, index=True),
    Column("vendor_id", String(200), nullable=False),
    Column("name", String(255), nullable=False),
    Column("media_type", String(200), nullable=False),
    Column("width_px", Integer),
    Column("height_px", Integer),
    Column("size_bytes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
)

batches = Table(  # which of the vendor's batches is whose, and the rows of the ledger that its results will settle
    "batches",
    metadata,
    Column("id", String(256), primary_key=True),  # the vendor's
    Column("owner", String(200), nullable=False),
    Column("requests", Integer, nullable=False),
    Column("shares", _Json, nullable=False),  # a list of objects, one for each model
    Column("upstream_request_id", String(200)),
    Column("timing_ms", _Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("settled_at", Instant),
    Index(None, "owner", "created_at"),
)

keys = Table(  # who may call and how much; a row with a parent is a short-lived token, which dies with that key
    "keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("parent_id", String(64), ForeignKey("keys.id", ondelete="CASCADE"), index=True),
    Column("digest", String(64), nullable=False, index=True, unique=True),
    Column("admin", Boolean, nullable=False),
    Column("budget_nanousd", BigInteger),
    Column("budget_period", String(8)),  # day, month, total
    Column("requests_per_minute", Integer),
    Column("images_per_minute", Integer),
    Column("tokens_per_minute", BigInteger),
    Column("models", _Json),
    Column("endpoints", _Json),
    Column("origin", String(255)),
    Column("max_requests", BigInteger),
    Column("expires_at", Instant, index=True),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

requests = Table(  # the ledger: a row is written before money can be spent, and settled once
    "requests",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("key_id", String(64), nullable=False),
    Column("token_id", String(64)),
    Column("endpoint", String(100), nullable=False),
    Column("model", String(200), nullable=False),
    Column("state", String(8), nullable=False),  # reserved, settled, released, unknown
    Column("bound_nanousd", BigInteger, nullable=False),
    Column("cost_nanousd", BigInteger),
    Column("status", Integer),
    Column("request_id", String(64), nullable=False),
    Column("upstream_request_id", String(200)),
    Column("requests", Integer, nullable=False, server_default="1"),  # of the vendor's: more than one in a batch
    Column("images", Integer, nullable=False),
    Column("bytes_before", BigInteger, nullable=False),
    Column("bytes_after", BigInteger, nullable=False),
    Column("usage", _Json),
    Column("timing_ms", _Json),
    Column("instance_id", String(64), nullable=False),
    Column("settled_at", Instant),
    Index(None, "key_id", "at"),
    Index(None, "instance_id", "state"),
)

spending = Table(  # sums of the ledger that budgets are held against: one row for each key and total, month or day
    "spending",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("period", String(10), primary_key=True),  # total, 2026-11, 2026-11-22
    Column("reserved_nanousd", BigInteger, nullable=False),
    Column("settled_nanousd", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),  # so that max_requests is held by the same row
)

buckets = Table(  # rate limits, as the generic cell rate algorithm keeps them: when the bucket will be full again
    "buckets",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("kind", String(16), primary_key=True),  # requests, images, tokens
    # microseconds since 1970: a number, for one UPDATE has to reckon with it and the databases add to dates differently
    Column("full_at_us", BigInteger, nullable=False),
)

idempotency = Table(  # answers kept for the repeat of a request, by whoever sent it
    "idempotency",
    metadata,
    Column("owner", String(200), primary_key=True),
    Column("idempotency_key", String(255), primary_key=True),
    Column("body_digest", String(64), nullable=False),
    Column("state", String(8), nullable=False),  # running, done
    Column("instance_id", String(64), nullable=False, index=True),
    Column("status", Integer),
    Column("headers", _Json),
    Column("answer", LargeBinary),
    Column("created_at", Instant, nullable=False, index=True),
)

instances = Table(  # heartbeats of processes, so that what a dead one left behind is recognised
    "instances",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False, index=True),
)

secrets = Table(  # what this installation made up for itself, such as the secret that keys are hashed with
    "secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)
