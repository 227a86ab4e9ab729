"""Addresses of databases: as people write them, and refused without a word of what may be a password."""

from pathlib import Path

import pytest

from app.database.address import Address, PostgresAddress, SqliteAddress, read_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("sqlite:///var/a.db", SqliteAddress(Path("var/a.db"))),
        ("sqlite+aiosqlite:///var/a.db", SqliteAddress(Path("var/a.db"))),
        ("sqlite:////var/a%20b #1.db", SqliteAddress(Path("/var/a%20b #1.db"))),
        ("sqlite:///:memory:", SqliteAddress(None)),
        ("sqlite://", SqliteAddress(None)),
        ("postgresql://u:p@h:1/d", PostgresAddress("postgresql://u:p@h:1/d")),
        ("postgres://u:p%40%2F@h/d?sslmode=require", PostgresAddress("postgresql://u:p%40%2F@h/d?sslmode=require")),
        ("postgresql+asyncpg://h1:1,[::1]:2/d", PostgresAddress("postgresql://h1:1,[::1]:2/d")),
        ("postgresql://u@/d?host=/run/postgresql", PostgresAddress("postgresql://u@/d?host=/run/postgresql")),
    ],
)
def test_an_address_is_read_in_every_usual_form(url: str, address: Address) -> None:
    assert read_address(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:hidden@h/d", "it must begin with sqlite:/// or postgresql://"),
        ("hidden", "it must begin with sqlite:/// or postgresql://"),
        ("", "it must begin with sqlite:/// or postgresql://"),
        ("postgresql+psycopg2://u:hidden@h/d", "it must begin with sqlite:/// or postgresql://"),
        ("sqlite://hidden/a.db", "a SQLite database has no host"),
        ("sqlite:///a.db?mode=hidden", "a SQLite database takes no options"),
        ("postgresql://u:hidden/1@h/d", "it is no postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:12/hidden@h/d", "it is no postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:hid@den@h/d", "it is no postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:12#hidden@h/d", "it is no postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:12?hidden@h/d", "it is no postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:p@h:hidden/d", "it is no postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    ],
)
def test_any_other_is_refused_without_being_repeated(url: str, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message) as raised:
        read_address(url)

    assert "hid" not in str(raised.value)


def test_an_address_with_a_password_shows_itself_without() -> None:
    assert repr(read_address("postgresql://u:hidden@h/d")) == "PostgresAddress()"
