"""The keyring of this installation, on its database."""

from app.access.keyring import Clock, Keyring
from app.access.sql import KeyTable
from app.database.sql import Database


async def open_keyring(
    database: Database, clock: Clock, *, secret: str | None, admin_key: str | None, open_without_keys: bool
) -> Keyring:
    """The keyring; without a `secret` of the operator's, hashing with one that is kept in the database."""
    table = KeyTable(database)
    kept = secret if secret is not None else await table.secret(clock.now())
    return Keyring(table, clock, kept, admin_key, open_without_keys=open_without_keys)
