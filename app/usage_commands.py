"""vision-proxy usage: who spent what, and the ledger request by request, read from the database itself.

It needs no service that runs, and no key: whoever can run it can read the database. The figures are those of
`GET /v1/usage`.
"""

import argparse
import asyncio
import csv
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field

from app.access.sql import KeyTable
from app.database.sql import Database, open_database
from app.ledger import EntryState, GroupBy, UsageReport
from app.ledger.sql.reporting import read_page, read_usage
from app.settings import load_settings
from app.web.fields import UtcInstant, validated
from app.web.usage import MOST_ENTRIES, EntryBody, SumBody, UsageBody, ledger_csv, no_formula, usage_body

_COUNTS = ("requests", "images", "input", "output", "cache_read", "cache_creation")
_AMOUNTS = ("cost_usd", "unknown_usd")
_COLUMNS = ("key", "id", *_COUNTS, *_AMOUNTS, "unpriced")
_ENTRY_COLUMNS = ("at", "key", "endpoint", "model", "state", "status", "images", "cost_usd", "bound_usd")


class _Filters(BaseModel):
    """What is shown of the ledger."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[UtcInstant | None, Field(alias="from")] = None
    to: UtcInstant | None = None
    key: str | None = None
    state: EntryState | None = None
    limit: Annotated[int, Field(ge=1)] = 100

    @property
    def key_ids(self) -> tuple[str, ...] | None:
        """Those whose requests are shown; None is everybody's."""
        return None if self.key is None else (self.key,)


def add_usage_commands(parser: argparse.ArgumentParser) -> None:
    """Give that parser the sums, and beneath it the single requests."""
    parser.add_argument("--group-by", choices=get_args(GroupBy), default="key", help="default: key")
    _add_options(parser, default=None)
    parser.set_defaults(run=_run, command=_sums)
    commands = parser.add_subparsers(metavar="COMMAND")
    single = commands.add_parser("requests", help="the ledger, request by request, newest first")
    single.add_argument("--state", choices=("reserved", "settled", "released", "unknown"), help="default: any")
    single.add_argument("--limit", help="most requests; default: 100")
    _add_options(single, default=argparse.SUPPRESS)  # what is given before the word `requests` stays
    single.set_defaults(run=_run, command=_requests)


def _add_options(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("--from", default=default, help="this day or instant and later, UTC unless it says")
    parser.add_argument("--to", default=default, help="before this day or instant")
    parser.add_argument("--key", default=default, help="only this key, by its id")
    forms = parser.add_mutually_exclusive_group()
    for form in ("json", "csv"):
        forms.add_argument(
            f"--{form}", dest="form", action="store_const", const=form, default=default, help="for programs"
        )


def _run(options: argparse.Namespace) -> int:
    return asyncio.run(options.command(options))


async def _sums(options: argparse.Namespace) -> int:
    filters = _filters(options)
    async with _opened() as database:
        report = await _report(database, filters, options.group_by)
        names = await KeyTable(database).all() if options.group_by == "key" else None
    body = usage_body(report, names)
    match options.form:
        case "json":
            print(body.model_dump_json())
        case "csv":
            _write_csv(_rows(body))
        case _:
            _write_table(_rows(body), options.group_by)
    return 0


async def _report(database: Database, filters: _Filters, group_by: GroupBy) -> UsageReport:
    async with database.reading() as connection:
        return await read_usage(connection, filters.key_ids, filters.since, filters.to, group_by)


async def _requests(options: argparse.Namespace) -> int:
    write = {"json": _write_lines, "csv": _write_ledger_csv}.get(options.form, _write_ledger)
    first = True
    async with _opened() as database:
        async for entries in _pages(database, _filters(options)):
            write(entries, first=first)
            first = False
    return 0


async def _pages(database: Database, filters: _Filters) -> AsyncGenerator[list[EntryBody]]:
    """The ledger in pages, so that its length takes no memory; at least one, which may be empty."""
    left, after = filters.limit, None
    while True:
        async with database.reading() as connection:
            page = await read_page(
                connection,
                state=filters.state,
                key_ids=filters.key_ids,
                since=filters.since,
                until=filters.to,
                limit=min(left, MOST_ENTRIES),
                after=after,
            )
        yield [EntryBody.model_validate(entry) for entry in page.entries]
        left, after = left - len(page.entries), page.next_page
        if after is None or left == 0:
            return


def _filters(options: argparse.Namespace) -> _Filters:
    """What the command line says of them.

    Raises:
        AppError: one is not what it should be; it is named.
    """
    names = ("from", "to", "key", "state", "limit")
    given = {name: getattr(options, name, None) for name in names}
    return validated(_Filters, {name: value for name, value in given.items() if value is not None})


def _rows(body: UsageBody) -> list[dict[str, object]]:
    """A row for each group, and the total."""
    groups = [{"key": group.key, "id": group.id, **_figures(group)} for group in body.groups]
    return [*groups, {"key": "total", "id": None, **_figures(body.total)}]


def _figures(summed: SumBody) -> dict[str, object]:
    figures = summed.model_dump(exclude={"key", "id", "tokens"})
    return {**figures, **summed.tokens.model_dump()}


def _write_csv(rows: Iterable[Mapping[str, object]]) -> None:
    """One line a group, exact to the nano-dollar; the last is the total."""
    writer: csv.DictWriter[str] = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        exact = {name: f"{row[name]:.9f}" for name in _AMOUNTS}
        writer.writerow({**row, **exact, "key": no_formula(row["key"])})


def _write_table(rows: Sequence[Mapping[str, object]], group_by: GroupBy) -> None:
    names = ["key", "id"] if group_by == "key" else [group_by]
    columns = [*names, *_COUNTS, *_AMOUNTS, *(["unpriced"] if any(row["unpriced"] for row in rows) else [])]
    _write_aligned(columns, [{**row, group_by: row["key"]} for row in rows], left=len(names))


def _write_lines(entries: Iterable[EntryBody], *, first: bool) -> None:
    del first
    for entry in entries:
        print(entry.model_dump_json())


def _write_ledger_csv(entries: Iterable[EntryBody], *, first: bool) -> None:
    sys.stdout.write(ledger_csv(entries, head=first))


def _write_ledger(entries: Iterable[EntryBody], *, first: bool) -> None:
    rows = [entry.model_dump() | {"at": f"{entry.at:%Y-%m-%dT%H:%M:%SZ}"} for entry in entries]
    _write_aligned(_ENTRY_COLUMNS, rows, left=_ENTRY_COLUMNS.index("status"), head=first)


def _write_aligned(
    columns: Sequence[str], rows: Iterable[Mapping[str, object]], *, left: int, head: bool = True
) -> None:
    """Columns for people; the first `left` of them are words, the others figures."""
    table = [*([list(columns)] if head else []), *[[_cell(row[column]) for column in columns] for row in rows]]
    widths = [max(map(len, cells), default=0) for cells in zip(*table, strict=True)]
    for cells in table:
        padded = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        print("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    """A value as people read it; a name cannot steer the terminal."""
    match value:
        case None:
            return "-"
        case Decimal():
            return f"{value:.6f}"
        case _:
            return "".join(letter if letter.isprintable() else "?" for letter in str(value))


@asynccontextmanager
async def _opened() -> AsyncGenerator[Database]:
    async with open_database(load_settings().database_url) as database:
        yield database
