"""What can be wrong with the database as a whole, said to the operator."""

from sqlalchemy.exc import SQLAlchemyError


class DatabaseUnusableError(Exception):
    """The service cannot start on this database; the message says why and what would help, and holds no secret."""


DATABASE_FAILURES = (SQLAlchemyError,)
"""What a database that was open comes to: locked, full, away."""


def cause_of(error: Exception) -> str:
    """The database's own words, in which no statement and no value is repeated, in one line."""
    return " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
