"""What a key is, what it looks like, and the caller that it makes of whoever holds it."""

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from app.domain import Caller, KeyLimits, Spender

KEY_PREFIX = "vp_"
TOKEN_PREFIX = "vpt_"  # noqa: S105 - how every token begins
_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A key, or with `parent_id` a token made from that key; never the text that is sent.

    `models` and `endpoints` are all that it may use; None is any. `origin` is the only one that web pages may use it
    from.
    """

    id: str
    name: str
    created_at: datetime
    admin: bool = False
    limits: KeyLimits = field(default_factory=KeyLimits)
    models: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    origin: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    parent_id: str | None = None

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def lasting_admin(self) -> bool:
        """Whether it can manage keys, and will go on until somebody takes that away."""
        return self.admin and self.parent_id is None and self.revoked_at is None and self.expires_at is None


@dataclass(frozen=True, slots=True)
class Held:
    """What was found under a digest: the key, or the token and the key that made it."""

    digest: str
    key: Key
    parent: Key | None = None
    parent_digest: str | None = None

    @property
    def chain(self) -> tuple[Key, ...]:
        """The key, then the token if it is one."""
        return (self.key,) if self.parent is None else (self.parent, self.key)


def new_secret(prefix: str) -> str:
    """A fresh key or token, as it is sent; nobody can guess it."""
    return prefix + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(key: str, secret: bytes) -> str:
    """What is kept of a key: HMAC-SHA-256, so that who reads the database alone cannot even test a guess."""
    return hmac.new(secret, key.encode("utf-8", "surrogatepass"), sha256).hexdigest()


def caller_of(held: Held) -> Caller:
    """Whoever sends that key. A token acts for its key, within what both may do, and is never an admin."""
    chain = held.chain
    owner = chain[0]
    return Caller(
        name=owner.name,
        id=owner.id,
        admin=len(chain) == 1 and owner.admin,
        spenders=tuple(Spender(key.id, key.limits) for key in chain),
        models=_common([key.models for key in chain]),
        endpoints=_common([key.endpoints for key in chain]),
    )


def _common(allowed: list[frozenset[str] | None]) -> frozenset[str] | None:
    """What all of them allow; None, of any, where none says."""
    common: frozenset[str] | None = None
    for names in allowed:
        common = names if common is None else common & (common if names is None else names)
    return common
