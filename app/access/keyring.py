"""The keys that open this service: who holds which, and the rules by which they are made, changed and revoked."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple, Protocol

from app.access.keys import KEY_PREFIX, TOKEN_PREFIX, Held, Key, caller_of, digest_of, new_secret
from app.access.sql import KeyChanges, KeyTable
from app.access.wrong_keys import WrongKeys
from app.domain import ENVIRONMENT_ID, OPEN_ID, Caller, Spender
from app.errors import AppError, ErrorCode

CACHE_S = 3.0
"""Longest that a process goes by what it once read of a key: a revocation elsewhere is felt after that."""

_STAND_INS = frozenset({ENVIRONMENT_ID, OPEN_ID})

_MOST_CACHED = 10_000


class Clock(Protocol):
    """Tells the time, as an instant in UTC and as seconds that only go up."""

    def now(self) -> datetime: ...  # noqa: D102
    def monotonic(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says of its sender: the key, the page it comes from if any, and the address."""

    key: str | None
    origin: str | None
    address: str


class NewKey(NamedTuple):
    """A key and, this once, the text by which it is used."""

    key: Key
    secret: str


class Keyring:
    """Every key: the operator's own of the environment, and those of the database.

    With neither it is open to whoever reaches it, where `open_without_keys` says so: until the first key is made.
    """

    def __init__(
        self, table: KeyTable, clock: Clock, secret: str, admin_key: str | None, *, open_without_keys: bool
    ) -> None:
        """`secret` is what keys are hashed with; of the admin's key only the digest is kept."""
        self._table = table
        self._clock = clock
        self._secret = secret.encode()
        self._admin_digest = None if admin_key is None else digest_of(admin_key, self._secret)
        self._may_be_open = open_without_keys and admin_key is None
        self._open_until = float("-inf")
        self._cache: dict[str, tuple[float, Held]] = {}
        self._wrong_keys = WrongKeys(clock.monotonic)

    async def authenticate(self, sent: Credentials) -> Caller:
        """Who sends that.

        Raises:
            AppError: `invalid_key`, `key_expired`, or `rate_limited` where one address sends too many wrong keys.
        """
        if await self.is_open() and not (sent.key or "").startswith(TOKEN_PREFIX):
            return Caller("open", OPEN_ID, admin=True, spenders=(Spender(OPEN_ID),))
        if sent.key is None:
            raise AppError(
                ErrorCode.INVALID_KEY, "no key was sent", hint="send it as x-api-key or as authorization: Bearer KEY"
            )
        digest = digest_of(sent.key, self._secret)
        if self._admin_digest is not None and hmac.compare_digest(digest, self._admin_digest):
            return Caller("admin", ENVIRONMENT_ID, admin=True, spenders=(Spender(ENVIRONMENT_ID),))
        held = await self._find(digest)
        if held is None:
            self._wrong_keys.count(sent.address)
            raise AppError(ErrorCode.INVALID_KEY, "the key is not known here")
        self._refuse_expired(held)
        if held.key.origin is not None and sent.origin != held.key.origin:
            raise AppError(ErrorCode.INVALID_KEY, f"this token is for pages of {held.key.origin} alone")
        return caller_of(held)

    async def is_open(self) -> bool:
        """Whether no key is asked for: none is set, and none was ever made."""
        if not self._may_be_open:
            return False
        if self._clock.monotonic() >= self._open_until:
            self._may_be_open = not await self._table.any()
            self._open_until = self._clock.monotonic() + CACHE_S
        return self._may_be_open

    async def all(self) -> list[Key]:
        """Every key, revoked ones too, the newest first."""
        return await self._table.all()

    async def get(self, key_id: str) -> Key:
        """The key of that id.

        Raises:
            AppError: `key_not_found`.
        """
        return _found(await self._table.get(key_id))

    async def create(self, key: Key) -> NewKey:
        """That key, from now on good.

        Raises:
            AppError: `invalid_request`, it is over before it begins, or nobody could manage keys after it.
        """
        now = self._clock.now()
        _refuse_past(key, now)
        made = NewKey(key, new_secret(KEY_PREFIX))
        async with self._table.changing(now) as changes:
            if not key.lasting_admin and self._admin_digest is None and not await changes.any():
                raise AppError(
                    ErrorCode.INVALID_REQUEST,
                    "admin: the first key must be an admin that does not expire, or nobody could make another",
                    field="admin",
                )
            await changes.add(key, digest_of(made.secret, self._secret))
        self._forget()
        return made

    async def create_first(self, key: Key) -> NewKey | None:
        """That key, where the service could not be used without; None where there is one already.

        Of many processes that ask at once one gets it.
        """
        if self._admin_digest is not None or await self._table.any():
            return None
        made = NewKey(key, new_secret(KEY_PREFIX))
        async with self._table.changing(self._clock.now()) as changes:
            if await changes.any():
                return None
            await changes.add(key, digest_of(made.secret, self._secret))
        return made

    async def change(self, key_id: str, apply: Callable[[Key], Key]) -> Key:
        """What `apply` makes of the key, from now on in force.

        Raises:
            AppError: `key_not_found`; `invalid_request`, it is revoked, or nobody could manage keys after it.
        """
        now = self._clock.now()
        async with self._table.changing(now) as changes:
            before = _found(await changes.get(key_id))
            after = apply(before)
            if before.revoked_at is not None:
                raise AppError(ErrorCode.INVALID_REQUEST, "a revoked key cannot be changed; create another")
            if after.expires_at != before.expires_at:
                _refuse_past(after, now)
            await self._keep_an_admin(before, after, changes)
            await changes.replace(after)
        self._forget()
        return after

    async def revoke(self, key_id: str) -> Key:
        """The key, from now on good for nothing, nor any token made from it; once revoked it stays so.

        Raises:
            AppError: `key_not_found`; `invalid_request`, nobody could manage keys after it.
        """
        now = self._clock.now()
        async with self._table.changing(now) as changes:
            before = _found(await changes.get(key_id))
            if before.revoked_at is not None:
                return before
            after = replace(before, revoked_at=now)
            await self._keep_an_admin(before, after, changes)
            await changes.replace(after)
        self._forget()
        return after

    async def create_token(self, token: Key) -> NewKey:
        """That token, from now on good; tokens that expired more than an hour ago are deleted in passing.

        Raises:
            AppError: `invalid_key`, the key that makes it is gone.
        """
        now = self._clock.now()
        made = NewKey(token, new_secret(TOKEN_PREFIX))
        async with self._table.changing(now) as changes:
            if token.parent_id in _STAND_INS:
                await self._stand_in_for(token.parent_id, changes)
            elif token.parent_id is None or await changes.get(token.parent_id) is None:
                raise AppError(ErrorCode.INVALID_KEY, "the key is not known here")
            await changes.add(token, digest_of(made.secret, self._secret))
        return made

    async def _stand_in_for(self, key_id: str, changes: KeyChanges) -> None:
        """A row that tokens of a caller without one can name; it is bound to the admin key of the environment."""
        digest = _stand_in(key_id, self._admin_digest or "")
        if await changes.has_row(key_id):
            await changes.set_digest(key_id, digest)
        else:
            await changes.add(Key(key_id, key_id.removeprefix("key_"), self._clock.now()), digest)

    async def _keep_an_admin(self, before: Key, after: Key, changes: KeyChanges) -> None:
        """Nothing, where somebody can manage keys after the change as before it."""
        lost = before.lasting_admin and not after.lasting_admin
        if lost and self._admin_digest is None and not await changes.other_lasting_admin(before.id):
            raise AppError(
                ErrorCode.INVALID_REQUEST,
                "this is the last admin key that does not expire; without it nobody could manage keys",
                hint="create another admin first, or set VISION_PROXY_ADMIN_KEY",
            )

    async def _find(self, digest: str) -> Held | None:
        """The key of that digest where it is good or expired; what is not revoked is remembered for a moment."""
        until, held = self._cache.get(digest, (0.0, None))
        if held is not None and self._clock.monotonic() < until:
            return held
        self._cache.pop(digest, None)
        held = await self._table.find(digest)
        if held is None or not hmac.compare_digest(held.digest, digest) or not await self._holds(held):
            return None
        if len(self._cache) >= _MOST_CACHED:
            self._cache.clear()
        self._cache[digest] = (self._clock.monotonic() + CACHE_S, held)
        return held

    async def _holds(self, held: Held) -> bool:
        """Whether no key of the chain is revoked; a stand-in holds as long as the caller that it stands in for."""
        owner = held.chain[0]
        if owner.id in _STAND_INS and held.parent is None:
            return False
        if owner.id == ENVIRONMENT_ID:
            return self._admin_digest is not None and hmac.compare_digest(
                held.parent_digest or "", _stand_in(owner.id, self._admin_digest)
            )
        if owner.id == OPEN_ID:
            return await self.is_open()
        return all(key.revoked_at is None for key in held.chain)

    def _refuse_expired(self, held: Held) -> None:
        for key in held.chain:
            if key.expires_at is not None and key.expired(self._clock.now()):
                raise AppError(ErrorCode.KEY_EXPIRED, f"the key expired at {key.expires_at:%Y-%m-%dT%H:%M:%SZ}")

    def _forget(self) -> None:
        """Go by what the database says from here on, in this process at once."""
        self._cache.clear()
        self._open_until = float("-inf")


def _stand_in(key_id: str, digest: str) -> str:
    """What a stand-in has in place of a digest: no key has it, and another admin key changes it."""
    return sha256(f"{key_id}:{digest}".encode()).hexdigest()


def _found(key: Key | None) -> Key:
    if key is None:
        raise AppError(ErrorCode.KEY_NOT_FOUND, "no key has such an id", hint="GET /v1/keys lists every key")
    return key


def _refuse_past(key: Key, now: datetime) -> None:
    if key.expires_at is not None and key.expired(now):
        raise AppError(
            ErrorCode.INVALID_REQUEST, f"expires_at: {key.expires_at.isoformat()} is in the past", field="expires_at"
        )
