"""Reads the address of a database as people write it; opens nothing."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(:[0-9]+)?")

_WHAT_IT_TAKES = "it must begin with sqlite:/// or postgresql://"
_UNREADABLE = (
    "it is no postgresql://USER:PASSWORD@HOST:PORT/DATABASE; write @ : / ? # % in a user name or a password as %40 %3A "
    "%2F %3F %23 %25"
)


@dataclass(frozen=True, slots=True)
class SqliteAddress:
    """A file of this machine; without a path the database lives in memory, as long as it is open."""

    path: Path | None


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A server, in the notation that libpq and asyncpg read; it may hold a password and is never shown."""

    dsn: str = field(repr=False)


Address: TypeAlias = SqliteAddress | PostgresAddress


def read_address(url: str) -> Address:
    """Where the database is.

    Raises:
        ValueError: the URL is none of those this service takes; the message holds no part of it, which may be secret.
    """
    scheme, _, rest = url.partition("://")
    match scheme:
        case "sqlite" | "sqlite+aiosqlite":
            return _sqlite(rest)
        case "postgresql" | "postgres" | "postgresql+asyncpg":
            return _postgres(rest)
        case _:
            raise ValueError(_WHAT_IT_TAKES)


def _sqlite(rest: str) -> SqliteAddress:
    """As SQLAlchemy reads it: three slashes before a path from here, four before one from the root."""
    if rest and not rest.startswith("/"):
        raise ValueError("a SQLite database has no host: write sqlite:///PATH, or sqlite:////PATH from the root")
    if "?" in rest:
        raise ValueError("a SQLite database takes no options after its path")
    path = rest[1:]
    return SqliteAddress(None if path in {"", ":memory:"} else Path(path))


def _postgres(rest: str) -> PostgresAddress:
    """Refuses what a client would take apart wrongly, and then repeat in its error: an unquoted password."""
    dsn = f"postgresql://{rest}"
    parts = urlsplit(dsn)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    stray = "@" in parts.path + parts.query or "#" in rest or parts.netloc.count("@") > 1
    if stray or not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError(_UNREADABLE)
    return PostgresAddress(dsn)
