"""vision-proxy keys: create, list, change, revoke; the same rules as over HTTP, on the database itself.

Whoever can run it can read the database, so no key is asked for: it is the way in when every admin's key is lost.
"""

import argparse
import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from app.access.keyring import Keyring
from app.access.keys import Key
from app.access.opening import open_keyring
from app.database.sql import open_database
from app.services import SystemClock, new_id
from app.settings import load_settings
from app.web.fields import validated
from app.web.key_fields import KeyChange, KeyFields
from app.web.keys import key_body, new_key_body

_NONE = "none"
_LIMITS = ("budget-usd", "requests-per-minute", "images-per-minute", "tokens-per-minute")


def add_key_commands(parser: argparse.ArgumentParser) -> None:
    """Give that parser the four commands."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="create a key and print it, this once")
    create.add_argument("--name", required=True, help="for reports")
    _add_fields(create)
    create.set_defaults(run=_run, command=_create)
    listing = commands.add_parser("list", help="every key, one a line, as JSON")
    listing.set_defaults(run=_run, command=_list)
    change = commands.add_parser("change", help="change what is given; `none` removes a limit")
    change.add_argument("id")
    change.add_argument("--name", help="for reports")
    _add_fields(change)
    change.set_defaults(run=_run, command=_change)
    revoke = commands.add_parser("revoke", help="make a key good for nothing, and every token made from it")
    revoke.add_argument("id")
    revoke.set_defaults(run=_run, command=_revoke)


def _add_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--admin", action=argparse.BooleanOptionalAction, default=None, help="may it manage keys")
    parser.add_argument("--budget-period", choices=("day", "month", "total"), help="of UTC; default: total")
    parser.add_argument("--models", help="all that it may use, comma separated; default: any")
    parser.add_argument("--expires-at", help="RFC 3339, with a zone; default: never")
    for limit in _LIMITS:
        parser.add_argument(f"--{limit}", help="default: no limit")


def _run(options: argparse.Namespace) -> int:
    return asyncio.run(options.command(options))


async def _create(options: argparse.Namespace) -> int:
    fields = validated(KeyFields, _given(options))
    async with _opened() as keyring:
        made = await keyring.create(fields.applied_to(Key(new_id("key_"), "", SystemClock().now())))
    print(new_key_body(made).model_dump_json())
    return 0


async def _list(_: argparse.Namespace) -> int:
    async with _opened() as keyring:
        for key in await keyring.all():
            print(key_body(key).model_dump_json())
    return 0


async def _change(options: argparse.Namespace) -> int:
    fields = validated(KeyChange, _given(options))
    async with _opened() as keyring:
        print(key_body(await keyring.change(options.id, fields.applied_to)).model_dump_json())
    return 0


async def _revoke(options: argparse.Namespace) -> int:
    async with _opened() as keyring:
        print(key_body(await keyring.revoke(options.id)).model_dump_json())
    return 0


def _given(options: argparse.Namespace) -> dict[str, object]:
    """The fields that the command line names, as JSON would hold them."""
    given: dict[str, object] = {}
    for name in ("name", "admin", "budget_period"):
        if getattr(options, name) is not None:
            given[name] = getattr(options, name)
    for name in ("budget_usd", "expires_at", "models", *(limit.replace("-", "_") for limit in _LIMITS[1:])):
        text: str | None = getattr(options, name)
        if text is not None:
            given[name] = None if text == _NONE else _value(name, text)
    return given


def _value(name: str, text: str) -> object:
    if name == "models":
        return [model.strip() for model in text.split(",")]
    return int(text) if name.endswith("_per_minute") and text.isdecimal() else text


@asynccontextmanager
async def _opened() -> AsyncGenerator[Keyring]:
    settings = load_settings()
    secret, admin_key = settings.key_secret, settings.admin_key
    async with open_database(settings.database_url) as database:
        yield await open_keyring(
            database,
            SystemClock(),
            secret=None if secret is None else secret.get_secret_value(),
            admin_key=None if admin_key is None else admin_key.get_secret_value(),
            open_without_keys=False,
        )
