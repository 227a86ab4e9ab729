"""Key in, `Caller` out: who is asking. Knows one key so far, the operator's own."""

import hmac
from hashlib import sha256

from app.domain import ENVIRONMENT_ID, OPEN_ID, Caller, Spender
from app.errors import AppError, ErrorCode


class Keyring:
    """The keys that open this service; with none it is open to whoever reaches it."""

    def __init__(self, admin_key: str | None) -> None:
        """Only the digest of the key is kept."""
        self._digest = None if admin_key is None else _digest(admin_key)

    def authenticate(self, key: str | None) -> Caller:
        """Who holds that key; compared in constant time.

        Raises:
            AppError: `invalid_key`.
        """
        if self._digest is None:
            return Caller("open", OPEN_ID, admin=True, spenders=(Spender(OPEN_ID),))
        if key is None:
            raise AppError(
                ErrorCode.INVALID_KEY, "no key was sent", hint="send it as x-api-key or as authorization: Bearer KEY"
            )
        if not hmac.compare_digest(_digest(key), self._digest):
            raise AppError(ErrorCode.INVALID_KEY, "the key is not known here")
        return Caller("admin", ENVIRONMENT_ID, admin=True, spenders=(Spender(ENVIRONMENT_ID),))


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
