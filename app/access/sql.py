"""The table of keys and the secret that they are hashed with. What may be changed is decided by the keyring."""

import secrets as randomness
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal

from sqlalchemy import RowMapping, bindparam, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.keys import Held, Key
from app.database.columns import Instant
from app.database.sql import Database
from app.database.tables import keys, secrets
from app.domain import ENVIRONMENT_ID, OPEN_ID, KeyLimits

_NANO = Decimal("1e-9")
_SECRET = "key_secret"  # noqa: S105 - its name
_LOCK = "keys_lock"
_STAND_INS = (ENVIRONMENT_ID, OPEN_ID)
"""Rows that are no keys: the parents of tokens that were made by a caller without a row."""

_parents = keys.alias("parents")

_TAKE_LOCK = text(
    "INSERT INTO secrets (name, value, created_at) VALUES (:name, '', :now) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
).bindparams(bindparam("now", type_=Instant))

_KEEP_FIRST = text(
    "INSERT INTO secrets (name, value, created_at) VALUES (:name, :value, :now) ON CONFLICT (name) DO NOTHING"
).bindparams(bindparam("now", type_=Instant))


class KeyTable:
    """Keys in the shared database."""

    def __init__(self, database: Database) -> None:
        """The database belongs to whoever opened it."""
        self._database = database

    async def secret(self, now: datetime) -> str:
        """What keys are hashed with here; made by whoever asks first."""
        query = select(secrets.c.value).where(secrets.c.name == _SECRET)
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).scalar_one_or_none()
        if found is not None:
            return found
        async with self._database.writing() as connection:
            made = {"name": _SECRET, "value": randomness.token_hex(32), "now": now}
            await connection.execute(_KEEP_FIRST, made)
            return (await connection.execute(query)).scalar_one()

    async def find(self, digest: str) -> Held | None:
        """What has that digest, with the key that made it; one read of an index."""
        query = (
            select(keys, *[column.label(f"above_{column.name}") for column in _parents.c])
            .select_from(keys.outerjoin(_parents, keys.c.parent_id == _parents.c.id))
            .where(keys.c.digest == digest)
        )
        async with self._database.reading() as connection:
            values = (await connection.execute(query)).mappings().one_or_none()
        if values is None:
            return None
        if values["parent_id"] is None:
            return Held(values["digest"], _key(values))
        return Held(values["digest"], _key(values), _key(values, "above_"), values["above_digest"])

    async def any(self) -> bool:
        """Whether a key was ever made, be it revoked by now."""
        async with self._database.reading() as connection:
            return await _any(connection)

    async def all(self) -> list[Key]:
        """Every key, the newest first; no tokens."""
        query = select(keys).where(keys.c.parent_id.is_(None), keys.c.id.not_in(_STAND_INS))
        async with self._database.reading() as connection:
            rows = (
                (await connection.execute(query.order_by(keys.c.created_at.desc(), keys.c.id.desc()))).mappings().all()
            )
        return [_key(row) for row in rows]

    async def get(self, key_id: str) -> Key | None:
        """The key, but no token, of that id."""
        async with self._database.reading() as connection:
            return await _get(connection, key_id)

    @asynccontextmanager
    async def changing(self, now: datetime) -> AsyncGenerator["KeyChanges"]:
        """What changes keys, one process at a time, so that what was looked up first still holds; all or nothing."""
        async with self._database.writing() as connection:
            await connection.execute(_TAKE_LOCK, {"name": _LOCK, "now": now})
            yield KeyChanges(connection)


class KeyChanges:
    """One transaction on the table that nobody else changes meanwhile."""

    def __init__(self, connection: AsyncConnection) -> None:
        """The connection belongs to whoever began the transaction."""
        self._connection = connection

    async def any(self) -> bool:
        """As of the table."""
        return await _any(self._connection)

    async def get(self, key_id: str) -> Key | None:
        """As of the table."""
        return await _get(self._connection, key_id)

    async def other_lasting_admin(self, key_id: str) -> bool:
        """Whether somebody else can manage keys and will go on to."""
        query = select(keys.c.id).where(
            keys.c.admin.is_(True),
            keys.c.parent_id.is_(None),
            keys.c.revoked_at.is_(None),
            keys.c.expires_at.is_(None),
            keys.c.id.not_in((key_id, *_STAND_INS)),
        )
        return (await self._connection.execute(query.limit(1))).first() is not None

    async def add(self, key: Key, digest: str) -> None:
        """Keep a new key."""
        await self._connection.execute(insert(keys).values({"id": key.id, "digest": digest, **_columns(key)}))

    async def replace(self, key: Key) -> None:
        """Keep what became of a key."""
        await self._connection.execute(update(keys).where(keys.c.id == key.id).values(_columns(key)))

    async def set_digest(self, key_id: str, digest: str) -> None:
        """Keep that key's digest, in place of another."""
        await self._connection.execute(update(keys).where(keys.c.id == key_id).values(digest=digest))

    async def has_row(self, key_id: str) -> bool:
        """Whether there is such a row, be it only a stand-in."""
        return (await self._connection.execute(select(keys.c.id).where(keys.c.id == key_id))).first() is not None


async def _any(connection: AsyncConnection) -> bool:
    query = select(keys.c.id).where(keys.c.parent_id.is_(None), keys.c.id.not_in(_STAND_INS)).limit(1)
    return (await connection.execute(query)).first() is not None


async def _get(connection: AsyncConnection, key_id: str) -> Key | None:
    if not key_id.isascii() or not key_id.isprintable() or key_id in _STAND_INS:  # no database takes all text
        return None
    query = select(keys).where(keys.c.id == key_id, keys.c.parent_id.is_(None))
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else _key(row)


def _key(row: RowMapping, prefix: str = "") -> Key:
    budget = row[prefix + "budget_nanousd"]
    return Key(
        id=row[prefix + "id"],
        name=row[prefix + "name"],
        created_at=row[prefix + "created_at"],
        admin=row[prefix + "admin"],
        limits=KeyLimits(
            budget_usd=None if budget is None else budget * _NANO,
            budget_period=row[prefix + "budget_period"] or "total",
            requests_per_minute=row[prefix + "requests_per_minute"],
            images_per_minute=row[prefix + "images_per_minute"],
            tokens_per_minute=row[prefix + "tokens_per_minute"],
            max_requests=row[prefix + "max_requests"],
        ),
        models=_names(row[prefix + "models"]),
        endpoints=_names(row[prefix + "endpoints"]),
        origin=row[prefix + "origin"],
        expires_at=row[prefix + "expires_at"],
        revoked_at=row[prefix + "revoked_at"],
        parent_id=row[prefix + "parent_id"],
    )


def _names(stored: list[str] | None) -> frozenset[str] | None:
    return None if stored is None else frozenset(stored)


def _columns(key: Key) -> dict[str, object]:
    """Every column but the id and the digest."""
    limits = key.limits
    return {
        "name": key.name,
        "parent_id": key.parent_id,
        "admin": key.admin,
        "budget_nanousd": None if limits.budget_usd is None else int(limits.budget_usd / _NANO),
        "budget_period": limits.budget_period,
        "requests_per_minute": limits.requests_per_minute,
        "images_per_minute": limits.images_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "models": None if key.models is None else sorted(key.models),
        "endpoints": None if key.endpoints is None else sorted(key.endpoints),
        "origin": key.origin,
        "max_requests": limits.max_requests,
        "expires_at": key.expires_at,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }
