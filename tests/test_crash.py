"""Killed at any instant, the service loses nothing that was billed: every such request is in the ledger, once."""

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import anyio
import httpx2
import pytest

from app.database.sql import open_database
from app.ledger import Entry, open_ledger
from app.sandbox import sandbox_in_thread
from tests.processes import Running, running_service

KILLS = 25
"""In each of two runs."""
CLIENTS = 4
BODY = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


class Later:
    """A clock that is ahead by more than a dead process may be silent."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(minutes=5)


def send_until_it_dies(service: Running, begun: Event) -> None:
    """Requests without a pause; every other one is a stream."""
    with httpx2.Client(base_url=service.client.base_url, timeout=20) as client, suppress(httpx2.HTTPError):
        while True:
            for stream in (False, True):
                client.post("/v1/messages", json={**BODY, "stream": stream}).raise_for_status()
                begun.set()


def kill_at_some_instant(service: Running, delay_s: float) -> None:
    """Let four clients send, and kill the service that long after the first answer."""
    begun, never = Event(), Event()
    clients = [Thread(target=send_until_it_dies, args=(service, begun)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    assert begun.wait(30)
    never.wait(delay_s)
    os.kill(service.pid, signal.SIGKILL)
    for client in clients:
        client.join(30)


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


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_billed_is_in_the_ledger_whenever_the_service_is_killed(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    database_url = f"sqlite+aiosqlite:///{tmp_path}/ledger.db"
    billed: list[str] = []
    with sandbox_in_thread() as url:
        journal = f"{url}/sandbox/journal"
        for _ in range(KILLS):
            with running_service(url, database_url=database_url, image_workers=1) as service:
                kill_at_some_instant(service, chance.uniform(0, 0.05))
            visits = httpx2.get(journal, params={"settled": "true"}, timeout=60).json()
            billed += [visit["request_id"] for visit in visits if visit["billed"]]
            httpx2.delete(journal)

    entries = anyio.run(entries_of, database_url)
    settled = [entry.upstream_request_id for entry in entries if entry.state == "settled"]
    states = Counter(entry.state for entry in entries)
    assert len(billed) >= KILLS
    assert set(settled) <= set(billed)
    assert len(settled) == len(set(settled))
    assert states["reserved"] == 0
    assert states["unknown"] >= len(set(billed) - set(settled))
