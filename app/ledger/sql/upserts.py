"""INSERT ... ON CONFLICT, which SQLAlchemy has for each kind of database apart."""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def upsert(table: Table, connection: Connection) -> "postgresql.Insert | sqlite.Insert":
    """An insertion into the table that may say what to do where the row is there, in the words of that database.

    The other database's are not loaded: PostgreSQL's take 2.5 MB.
    """
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - see above

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - as before

    return sqlite.insert(table)
