"""PostgreSQL: a bounded pool whose every wait has a deadline, of the server's and of our own."""

from typing import Any

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from app.database.address import PostgresAddress
from app.database.engines import MIGRATION_TIMEOUT_S, POOL_TIMEOUT_S, Engines

_CONNECTIONS = 10
"""Of each process; a server takes 100 where nobody changed it."""

_CONNECT_TIMEOUT_S = 10.0
_STATEMENT_TIMEOUT_S = 30.0
_LOCK_TIMEOUT_S = 10.0
_GRACE_S = 5.0
"""The server speaks first; our own deadline is for one that says nothing more."""

_MIGRATION_LOCK = 7_020_713_208_114_001_234
"""Any number, the same in every version: it names the lock among all of this database."""


def postgres_engines(address: PostgresAddress) -> Engines:
    """The server; nothing is connected to yet."""
    pooled = create_async_engine(
        "postgresql+asyncpg://",  # the driver reads the address itself, with every option that libpq knows
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        connect_args=_connecting(address, _STATEMENT_TIMEOUT_S, _LOCK_TIMEOUT_S),
    )
    migrating = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        connect_args=_connecting(address, MIGRATION_TIMEOUT_S, MIGRATION_TIMEOUT_S),
    )
    return Engines(
        reading=pooled.execution_options(postgresql_readonly=True),
        writing=pooled,
        migrating=migrating,
        migration_lock=(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})",),
    )


def _connecting(address: PostgresAddress, statement_timeout_s: float, lock_timeout_s: float) -> dict[str, Any]:
    return {
        "dsn": address.dsn,
        "timeout": _CONNECT_TIMEOUT_S,
        "command_timeout": statement_timeout_s + _GRACE_S,
        "server_settings": {
            "application_name": "vision-proxy",
            "statement_timeout": _milliseconds(statement_timeout_s),
            "lock_timeout": _milliseconds(lock_timeout_s),
            "idle_in_transaction_session_timeout": _milliseconds(statement_timeout_s),
        },
    }


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1_000))
