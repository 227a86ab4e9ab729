"""Every report says the same as a sum of its own over what the sandbox billed: to the nano-dollar, in every form."""

import base64
import csv
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.__main__ import main
from app.sandbox import sandbox_in_thread
from tests.conftest import ADMIN, StartService

Maker = Callable[..., bytes]

AS_ADMIN = {"x-api-key": ADMIN}
PRICES = {
    "claude-sonnet-5-5": ("2", "2.5", "4", "0.10", "10"),
    "claude-opus-4-8": ("5", "6.25", "10", "0.50", "25"),
    "claude-haiku-5-5": ("0.10", "0.125", "0.20", "0.01", "0.50"),
}
"""USD for a million tokens: input, written to the cache for five minutes, for an hour, read from it, output.

Source: https://platform.claude.com/docs/en/about-claude/pricing, seen 2026-08-22, and the release notes of the models.
"""
FIELDS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_creation": "cache_creation_input_tokens",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and what only its caller knows of it."""

    path: str
    model: str
    stream: bool = False
    cut: bool = False
    ttl: str | None = None
    geo: str | None = None
    pictures: int = 1


def everything() -> list[Asked]:
    """Each way to spend, with each model; what is cached is asked twice, so that it is read as well."""
    found: list[Asked] = []
    for model in PRICES:
        found += [
            Asked("/v1/analyze", model, stream, cut) for stream, cut in ((False, False), (True, False), (True, True))
        ]
        found += [Asked("/v1/analyze", model, pictures=3)]
        found += [
            Asked("/v1/messages", model, stream, cut) for stream, cut in ((False, False), (True, False), (True, True))
        ]
        found += [Asked("/v1/messages", model, stream, ttl=ttl) for ttl in ("5m", "1h") for stream in (False, True)]
        found += [Asked("/v1/messages", model, geo="us", pictures=0)]
    return found


def send(service: httpx2.Client, asked: Asked, picture: bytes, headers: dict[str, str]) -> None:
    faults = {"x-vision-proxy-sandbox-fault": "cut"} if asked.cut else {}
    if asked.path == "/v1/analyze":
        files = [("image", picture)] * asked.pictures
        data = {"model": asked.model, "stream": str(asked.stream).lower()}
        response = service.post(asked.path, files=files, data=data, headers=headers | faults)
    else:
        response = service.post(asked.path, json=message(asked, picture), headers=headers | faults)
    assert response.status_code == 200, response.text


def message(asked: Asked, picture: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(picture).decode()}
    cached: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": asked.ttl}} if asked.ttl else {}
    content = [
        *([{"type": "image", "source": source}] * asked.pictures),
        {"type": "text", "text": f"What, for {asked.ttl}?", **cached},
        {"type": "text", "text": "And then?"},
    ]
    body = {"model": asked.model, "max_tokens": 60, "messages": [{"role": "user", "content": content}]}
    return body | {"stream": asked.stream} | ({"inference_geo": asked.geo} if asked.geo else {})


def usd(asked: Asked, usage: dict[str, Any]) -> Decimal:
    """What that costs by the vendor's price list."""
    written = usage["cache_creation"]
    counts = (
        usage["input_tokens"],
        written["ephemeral_5m_input_tokens"],
        written["ephemeral_1h_input_tokens"],
        usage["cache_read_input_tokens"],
        usage["output_tokens"],
    )
    factor = Decimal("1.1") if asked.geo == "us" else Decimal(1)
    each = [Decimal(price) * count for price, count in zip(PRICES[asked.model], counts, strict=True)]
    return sum(each, Decimal(0)) * factor / 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """A service that has answered everything, and the sums by group that its reports must have."""

    service: httpx2.Client
    database_url: str
    sums: dict[str, dict[str, dict[str, Any]]]


@pytest.fixture
def spent(start_service: StartService, database_url: str, photo: Maker) -> Generator[Spent]:
    with sandbox_in_thread() as sandbox_url:
        service = start_service(sandbox_url, database_url=database_url, admin_key=ADMIN)
        names = ("billing", "app, two")
        keys = [service.post("/v1/keys", json={"name": name}, headers=AS_ADMIN).json()["key"] for name in names]
        asked, picture = everything(), photo(320, 240)
        for number, one in enumerate(asked):
            headers = {"x-api-key": keys[number % 2], "x-vision-proxy-sandbox-case": str(number)}
            send(service, one, picture, headers)
        visits = httpx2.get(f"{sandbox_url}/sandbox/journal", params={"settled": "true"}).json()
        wait_until_settled(service)
        yield Spent(service, database_url, summed(asked, names, visits))


def wait_until_settled(service: httpx2.Client) -> None:
    """What is answered is settled right behind its last byte."""
    for _ in range(500):
        page = service.get("/v1/usage/requests", params={"state": "reserved"}, headers=AS_ADMIN).json()
        if not page["requests"]:
            return
    pytest.fail("something is never settled")


def summed(
    asked: list[Asked], names: tuple[str, ...], visits: list[dict[str, Any]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """The sandbox's bill by each group; of a stream that was cut, the one token of output that it had reported."""
    found: dict[str, dict[str, dict[str, Any]]] = {
        name: defaultdict(zero) for name in ("key", "model", "day", "endpoint")
    }
    assert len(visits) == len(asked)
    for visit in visits:
        number = int(visit["headers"]["x-vision-proxy-sandbox-case"])
        one = asked[number]
        usage = visit["billed"] | ({"output_tokens": 1} if one.cut else {})
        groups = {
            "key": names[number % 2],
            "model": one.model,
            "day": f"{datetime.now(UTC):%Y-%m-%d}",
            "endpoint": one.path,
        }
        for group_by, name in groups.items():
            group = found[group_by][name]
            group["requests"] += 1
            group["images"] += len(visit["images"])
            group["cost_usd"] += usd(one, usage)
            for kind, field in FIELDS.items():
                group[kind] += usage[field]
    return {group_by: dict(groups) for group_by, groups in found.items()}


def zero() -> dict[str, Any]:
    return {"requests": 0, "images": 0, "cost_usd": Decimal(0), **dict.fromkeys(FIELDS, 0)}


def flat(group: dict[str, Any]) -> dict[str, Any]:
    """A group of a report as `summed` has it."""
    assert (group["unknown_usd"], group["unpriced"]) == (0, 0)
    return {
        "requests": group["requests"],
        "images": group["images"],
        "cost_usd": Decimal(str(group["cost_usd"])),
        **group["tokens"],
    }


def total(groups: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {name: sum(group[name] for group in groups.values()) for name in zero()}


@pytest.fixture
def command(spent: Spent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `vision-proxy usage ARGUMENTS` prints, on the database of the service while that runs."""
    monkeypatch.setenv("VISION_PROXY_DATABASE_URL", spent.database_url)

    def run(*arguments: str) -> str:
        assert main(["usage", *arguments]) == 0
        return capsys.readouterr().out

    return run


def test_the_reports_equal_the_sandbox_s_own_bill(spent: Spent, command: Callable[..., str]) -> None:
    assert len(spent.sums["day"]) == 1, "it was midnight"
    for group_by, expected in spent.sums.items():
        report = spent.service.get("/v1/usage", params={"group_by": group_by}, headers=AS_ADMIN).json()

        assert {group["key"]: flat(group) for group in report["groups"]} == expected
        assert flat(report["total"]) == total(expected)
        assert json.loads(command("--group-by", group_by, "--json")) == report
        assert of_csv(command("--group-by", group_by, "--csv")) == {**expected, "total": total(expected)}
    everything_read = total(spent.sums["model"])
    assert min(everything_read[kind] for kind in FIELDS) > 0


def of_csv(text: str) -> dict[str, dict[str, Any]]:
    """The lines of the command's own table as `summed` has them."""
    return {
        row["key"]: {
            **{name: int(row[name]) for name in row if name in zero() and name != "cost_usd"},
            "cost_usd": Decimal(row["cost_usd"]),
        }
        for row in csv.DictReader(StringIO(text))
    }


def test_the_rows_of_the_ledger_add_up_to_the_sandbox_s_own_bill(spent: Spent, command: Callable[..., str]) -> None:
    expected = total(spent.sums["model"])
    by_page: list[str] = []
    page: dict[str, str] = {}
    while True:
        params = {"limit": "7", **page}
        response = spent.service.get("/v1/usage/requests", params=params, headers={**AS_ADMIN, "accept": "text/csv"})
        head, *lines = response.text.splitlines()
        by_page += lines if by_page else [head, *lines]
        if "x-next-page" not in response.headers:
            break
        page = {"page": response.headers["x-next-page"]}

    of_command = command("requests", "--csv", "--limit", "1000").splitlines()
    as_json = [json.loads(line) for line in command("requests", "--json", "--limit", "1000").splitlines()]

    assert of_command == by_page
    rows = list(csv.DictReader(by_page))
    assert len(rows) == len(as_json) == expected["requests"]
    assert sum(Decimal(row["cost_usd"]) for row in rows) == expected["cost_usd"]
    assert sum(Decimal(str(row["cost_usd"])) for row in as_json) == expected["cost_usd"]
    assert sum(json.loads(row["usage"])["output_tokens"] for row in rows) == expected["output"]


def test_the_table_of_the_command_is_for_people(spent: Spent, command: Callable[..., str]) -> None:
    head, *groups, last = command().splitlines()

    assert head.split() == ["key", "id", "requests", "images", *FIELDS, "cost_usd", "unknown_usd"]
    assert sorted(line.split("  ")[0] for line in groups) == ["app, two", "billing"]
    assert last.split()[0::7] == ["total", str(total(spent.sums["key"])["cache_creation"])]
    assert f"{total(spent.sums['key'])['cost_usd']:.6f}" in last
    assert len({len(line) for line in (head, *groups, last)}) == 1


def test_the_command_filters_by_key_time_and_state(command: Callable[..., str]) -> None:
    [first, _] = json.loads(command("--json"))["groups"]

    one = json.loads(command("--json", "--key", first["id"]))
    none = [json.loads(command("--json", *when)) for when in (("--to", "2026-01-01"), ("--from", "2990-01-01"))]
    rows = [
        json.loads(line) for line in command("requests", "--json", "--key", first["id"], "--limit", "3").splitlines()
    ]
    before = command("--key", first["id"], "--json", "requests", "--limit", "3").splitlines()

    assert one["groups"] == [first]
    assert [report["total"]["requests"] for report in none] == [0, 0]
    assert [row["key"] for row in rows] == [first["id"]] * 3
    assert [json.loads(line) for line in before] == rows
    assert command("requests", "--state", "unknown", "--json") == ""
    assert command("requests", "--state", "unknown").split() == command("requests").splitlines()[0].split()


def test_a_name_cannot_steer_the_terminal(
    start_service: StartService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database_url = f"sqlite:///{tmp_path}/ledger.db"
    body = {"model": "claude-\x1b[31mred\n", "max_tokens": 9, "messages": [{"role": "user", "content": "What?"}]}
    service = start_service(database_url=database_url)
    service.post("/v1/messages", json=body)
    service.get("/v1/usage").raise_for_status()  # what it has answered is settled by then
    monkeypatch.setenv("VISION_PROXY_DATABASE_URL", database_url)

    main(["usage", "requests"])

    [_, row] = capsys.readouterr().out.splitlines()
    assert "  claude-?[31mred?  released" in row


def test_a_name_is_no_formula_in_the_table_of_sums(
    start_service: StartService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database_url = f"sqlite:///{tmp_path}/ledger.db"
    service = start_service(database_url=database_url, admin_key=ADMIN)
    key = service.post("/v1/keys", json={"name": "=1+1"}, headers=AS_ADMIN).json()["key"]
    body = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "What?"}]}
    service.post("/v1/messages", json=body, headers={"x-api-key": key}).raise_for_status()
    service.get("/v1/usage", headers=AS_ADMIN).raise_for_status()  # what it has answered is settled by then
    monkeypatch.setenv("VISION_PROXY_DATABASE_URL", database_url)

    main(["usage", "--csv"])

    [row, _] = csv.DictReader(StringIO(capsys.readouterr().out))
    assert row["key"] == "'=1+1"


def test_a_database_that_fails_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISION_PROXY_DATABASE_URL", f"sqlite:///{tmp_path}/ledger.db")
    assert main(["usage"]) == 0
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        database.execute("DROP TABLE requests")
    capsys.readouterr()

    assert main(["usage"]) == 2

    assert capsys.readouterr().err == "vision-proxy: the database failed: no such table: requests\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--from", "yesterday"), "from: "), (("requests", "--limit", "0"), "limit: "), (("--to", "2026-13-01"), "to: ")],
)
def test_what_the_command_cannot_read_is_named(
    arguments: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["usage", *arguments]) == 2

    assert capsys.readouterr().err.startswith(f"vision-proxy: {named}")
