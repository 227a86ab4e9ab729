"""Killed at any instant, the service loses nothing that was billed and lets no budget be exceeded.

Every request that the sandbox billed is in the ledger, once, and what a key was billed stays within its budget.
"""

import base64
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from threading import Event, Thread
from typing import Any

import anyio
import httpx2
import pytest

from app.database.sql import open_database
from app.ledger import Entry, open_ledger
from app.sandbox import sandbox_in_thread
from tests.conftest import ADMIN
from tests.processes import Running, running_service

Maker = Callable[..., bytes]
Send = Callable[[httpx2.Client], httpx2.Response]

KILLS = 25
"""In each of two runs."""
CLIENTS = 4
KILLS_TO_A_BUDGET = 5
BUDGET_USD = Decimal("0.003")
"""A few requests at their bounds: every budget is used up, and refuses, while the service is killed again and again."""
BODY = {"model": "claude-haiku-4-5", "max_tokens": 30, "messages": [{"role": "user", "content": "hi"}]}


class Later:
    """A clock that is ahead by more than a dead process may be silent."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and its id as the sandbox sees it: in the header that names a case."""

    id: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.secret, "x-vision-proxy-sandbox-case": self.id}


def kinds_of_requests(picture: bytes, scan: bytes) -> list[Send]:
    """Text, a picture that travels as it is, one that a worker converts, streams: whole, cut by the vendor, left."""
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(picture).decode()}
    pictured = {**BODY, "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    cut = {"x-vision-proxy-sandbox-fault": "cut"}

    def left(client: httpx2.Client) -> httpx2.Response:
        with client.stream("POST", "/v1/messages", json={**pictured, "stream": True}) as response:
            for _ in response.iter_raw():
                break
        return response

    return [
        lambda client: client.post("/v1/messages", json=BODY),
        lambda client: client.post("/v1/messages", json={**pictured, "stream": True}),
        lambda client: client.post("/v1/analyze", files={"image": scan}, data={"model": "claude-haiku-4-5"}),
        lambda client: client.post("/v1/messages", json={**BODY, "stream": True}, headers=cut),
        left,
    ]


def send_until_it_dies(service: Running, key: Key, kinds: Iterator[Send], begun: Event) -> None:
    """Requests without a pause; a budget that is used up is asked again."""
    client = httpx2.Client(base_url=service.client.base_url, timeout=20, headers=key.headers)
    with client, suppress(httpx2.HTTPError):
        for send in kinds:
            status = send(client).status_code
            assert status in {200, 402}
            begun.set()


def kill_at_some_instant(service: Running, keys: list[Key], kinds: list[Send], delay_s: float) -> None:
    """Let four clients send, each something else at first, and kill the service that long after the first answer."""
    begun, never = Event(), Event()
    clients: list[Thread] = []
    for number in range(CLIENTS):
        sending = cycle(kinds[number:] + kinds[:number])
        arguments = (service, keys[number % len(keys)], sending, begun)
        clients.append(Thread(target=send_until_it_dies, args=arguments))
    for client in clients:
        client.start()
    assert begun.wait(30)
    never.wait(delay_s)
    os.kill(service.pid, signal.SIGKILL)
    for client in clients:
        client.join(30)


def new_key(service: Running, **fields: object) -> Key:
    made = service.client.post("/v1/keys", json={"name": "an app", **fields}, headers={"x-api-key": ADMIN}).json()
    return Key(made["id"], made["key"])


async def entries_of(database_url: str) -> list[Entry]:
    """The whole ledger, once what dead processes left has been marked."""
    found: list[Entry] = []
    async with open_database(database_url) as database, open_ledger(database, Later(), "in_test") as ledger:
        page = await ledger.page(limit=1000)
        while True:
            found += page.entries
            if page.next_page is None:
                return found
            page = await ledger.page(limit=1000, after=page.next_page)


@dataclass(frozen=True, slots=True)
class Billed:
    """What the sandbox billed for one request, as it itself tells."""

    request_id: str
    key_id: str
    usage: dict[str, Any]

    @property
    def usd(self) -> Decimal:
        """By the price list: Claude Haiku 4.5 takes 1 USD for a million tokens of input and 5 of output."""
        return Decimal(self.usage["input_tokens"] + 5 * self.usage["output_tokens"]) / 1_000_000


def billed_by(sandbox_url: str) -> list[Billed]:
    """What was billed since this was asked last."""
    journal = f"{sandbox_url}/sandbox/journal"
    visits = httpx2.get(journal, params={"settled": "true"}, timeout=60).json()
    httpx2.delete(journal)
    return [
        Billed(visit["request_id"], visit["headers"]["x-vision-proxy-sandbox-case"], visit["billed"])
        for visit in visits
        if visit["billed"]
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_billed_is_in_the_ledger_and_within_budgets_whenever_the_service_is_killed(
    tmp_path: Path, photo: Maker, screen: Maker, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    database_url = f"sqlite+aiosqlite:///{tmp_path}/ledger.db"
    kinds = kinds_of_requests(photo(64, 48), screen(120, 80, "TIFF"))
    keys: list[Key] = []
    budgets: set[str] = set()
    billed: list[Billed] = []
    settings: dict[str, Any] = {"database_url": database_url, "image_workers": 1, "admin_key": ADMIN}
    with sandbox_in_thread() as url:
        for kill in range(KILLS):
            with running_service(url, **settings) as service:
                if kill % KILLS_TO_A_BUDGET == 0:
                    keys = [new_key(service), new_key(service, budget_usd=float(BUDGET_USD))]
                    budgets.add(keys[1].id)
                kill_at_some_instant(service, keys, kinds, chance.uniform(0, 0.05))
            billed += billed_by(url)

    entries = anyio.run(entries_of, database_url)
    assert len(billed) >= KILLS
    hold_rows(billed, entries)
    hold_budgets(billed, entries, budgets)


def hold_rows(billed: list[Billed], entries: list[Entry]) -> None:
    """Every request that was billed has a row of its key, and none two."""
    settled = [entry.upstream_request_id for entry in entries if entry.state == "settled"]
    assert len(settled) == len(set(settled))
    assert set(settled) <= {one.request_id for one in billed}
    assert "reserved" not in {entry.state for entry in entries}
    unknown = Counter(entry.key_id for entry in entries if entry.state == "unknown")
    without_settlement = Counter(one.key_id for one in billed if one.request_id not in settled)
    assert without_settlement <= unknown
    assert unknown


def hold_budgets(billed: list[Billed], entries: list[Entry], budgets: set[str]) -> None:
    """No key was billed more than its budget and what requests in flight had reserved; no row more than its bound."""
    usd: defaultdict[str, Decimal] = defaultdict(Decimal)
    for one in billed:
        usd[one.key_id] += one.usd
    counted: defaultdict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        counted[entry.key_id] += entry.bound_usd if entry.state == "unknown" else entry.cost_usd or 0
        assert (entry.cost_usd or 0) <= entry.bound_usd
    assert max(counted[key_id] for key_id in budgets) > BUDGET_USD / 2, "no budget was put to the test"
    for key_id in budgets:
        assert usd[key_id] <= BUDGET_USD  # what is in flight has its place within the budget
        assert counted[key_id] <= BUDGET_USD
