"""Two services, each a process of its own, on one database: one budget, one limit, one sum, one set of files."""

import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from threading import Event
from typing import Any

import httpx2
import pytest

from tests.conftest import ADMIN, Serve
from tests.gate import Gate
from tests.postgres import Postgres
from tests.processes import running_service

Maker = Callable[..., bytes]

AS_ADMIN = {"x-api-key": ADMIN}
BODY = {"model": "claude-haiku-4-5", "max_tokens": 1, "messages": [{"role": "user", "content": "How many? " * 40}]}


@dataclass(frozen=True, slots=True)
class Pair:
    """Both services, and the gate before the sandbox that both call."""

    one: httpx2.Client
    two: httpx2.Client
    gate: Gate

    def key(self, **fields: object) -> dict[str, str]:
        """The headers of a new key."""
        return {"x-api-key": self.made(**fields)["key"]}

    def made(self, **fields: object) -> dict[str, Any]:
        """A new key."""
        made = self.one.post("/v1/keys", json={"name": "an app", **fields}, headers=AS_ADMIN)
        assert made.status_code == 200, made.text
        return made.json()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Generator[Pair]:
    database_url = f"sqlite:///{tmp_path_factory.mktemp('shared')}/shared.db"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        database_url = server.fresh_database()
    gate = Gate()
    settings: dict[str, Any] = {"database_url": database_url, "admin_key": ADMIN, "image_workers": 1}
    with (
        serve(gate) as upstream,
        running_service(upstream, **settings) as one,
        running_service(upstream, **settings) as two,
    ):
        yield Pair(one.client, two.client, gate)


def rows(service: httpx2.Client, headers: dict[str, str]) -> list[dict[str, Any]]:
    response = service.get("/v1/usage/requests", params={"limit": "1000"}, headers=headers)
    return response.raise_for_status().json()["requests"]


def usd(value: float) -> Decimal:
    return Decimal(str(value))


def bound_of_one(pair: Pair) -> Decimal:
    """What the ledger reserves for `BODY`."""
    headers = pair.key()
    pair.one.post("/v1/messages", json=BODY, headers=headers).raise_for_status()
    [row] = rows(pair.two, headers)
    return usd(row["bound_usd"])


def test_of_two_hundred_at_once_a_budget_for_fifty_lets_fifty_through_and_the_rest_is_used_to_the_last(
    pair: Pair,
) -> None:
    bound = bound_of_one(pair)
    budget = 50 * bound
    headers = pair.key(budget_usd=float(budget))

    statuses = two_hundred_at_once(pair, headers)

    assert sorted(statuses) == [200] * 50 + [402] * 150
    left = budget - spent_by(pair, headers)
    services = (pair.one, pair.two)
    more = 0
    while (answer := services[more % 2].post("/v1/messages", json=BODY, headers=headers)).status_code == 200:
        assert bound <= left, "it did not fit"
        more += 1
        left = budget - spent_by(pair, headers)
    assert answer.status_code == 402
    assert 0 <= left < bound, "another one would have fitted"
    assert more > 0


def two_hundred_at_once(pair: Pair, headers: dict[str, str]) -> list[int]:
    """The statuses of as many requests, half through each; none is answered before all are let through or refused."""
    unlimited = httpx2.Limits(max_connections=None)
    with (
        httpx2.Client(base_url=pair.one.base_url, timeout=120, limits=unlimited) as one,
        httpx2.Client(base_url=pair.two.base_url, timeout=120, limits=unlimited) as two,
        ThreadPoolExecutor(200) as pool,
    ):

        def send(service: httpx2.Client) -> int:
            status = service.post("/v1/messages", json=BODY, headers=headers).status_code
            if status != 200:
                pair.gate.decided.release()
            return status

        pair.gate.shut()
        try:
            sent = [pool.submit(send, service) for service in [one, two] * 100]
            assert all(pair.gate.decided.acquire(timeout=60) for _ in sent)
            while_running = [row["state"] for row in rows(pair.one, headers)]
        finally:
            let_through = pair.gate.open()
        assert while_running == ["reserved"] * let_through == ["reserved"] * 50
        return [each.result() for each in sent]


def spent_by(pair: Pair, headers: dict[str, str]) -> Decimal:
    """What that key has spent, by the rows that the other process reads."""
    found = rows(pair.two, headers)
    assert {row["state"] for row in found} == {"settled"}
    return sum((usd(row["cost_usd"]) for row in found), Decimal(0))


def test_a_limit_by_the_minute_is_one_for_both(pair: Pair) -> None:
    headers = pair.key(requests_per_minute=2)

    answers = [service.post("/v1/messages", json=BODY, headers=headers) for service in (pair.one, pair.two, pair.one)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers.get("x-ratelimit-remaining-requests") for answer in answers] == ["1", "0", None]


def test_what_is_sent_five_seconds_after_a_revocation_is_refused_by_the_other_process(pair: Pair) -> None:
    key = pair.made()
    headers = {"x-api-key": key["key"]}
    pair.two.get("/v1/models", headers=headers).raise_for_status()

    pair.one.delete(f"/v1/keys/{key['id']}", headers=AS_ADMIN).raise_for_status()
    revoked_at = sent_at = time.monotonic()
    never = Event()
    while pair.two.get("/v1/models", headers=headers).status_code == 200:
        assert sent_at - revoked_at < 5, "it was let in"
        never.wait(0.05)
        sent_at = time.monotonic()

    assert pair.one.get("/v1/models", headers=headers).status_code == 401
    assert pair.two.post("/v1/messages", json=BODY, headers=headers).status_code == 401


def test_a_file_that_one_took_is_used_listed_and_deleted_through_the_other(pair: Pair, photo: Maker) -> None:
    headers = pair.key()
    file_id = pair.one.post("/v1/files", files={"file": ("a.jpg", photo(64, 48))}, headers=headers).json()["id"]
    image = {"type": "image", "source": {"type": "file", "file_id": file_id}}
    asked = {**BODY, "messages": [{"role": "user", "content": [image]}]}

    answer = pair.two.post("/v1/messages", json=asked, headers=headers)
    listed = pair.two.get("/v1/files", headers=headers).json()["data"]
    deleted = pair.two.delete(f"/v1/files/{file_id}", headers=headers)
    gone = pair.one.get(f"/v1/files/{file_id}", headers=headers)

    assert answer.status_code == 200, answer.text
    assert [file["id"] for file in listed] == [file_id]
    assert (deleted.status_code, gone.status_code) == (200, 404)


def test_a_token_of_one_works_at_the_other_and_spends_on_its_key(pair: Pair) -> None:
    headers = pair.key()
    token = pair.one.post("/v1/tokens", json={"ttl_s": 60, "requests": 2}, headers=headers).json()["token"]

    answers = [
        service.post("/v1/messages", json=BODY, headers={"x-api-key": token})
        for service in (pair.two, pair.one, pair.two)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 402]
    assert len(rows(pair.one, headers)) == 2


def test_usage_is_one_sum(pair: Pair) -> None:
    headers = pair.key()
    services = (pair.one, pair.two, pair.one)
    costs = [service.post("/v1/messages", json=BODY, headers=headers).json()["usage"]["cost"] for service in services]
    for service in (pair.one, pair.two):  # nothing limits the key: each has settled its answers when it reports
        rows(service, headers)

    reports = [service.get("/v1/usage", headers=headers).json() for service in (pair.one, pair.two)]

    assert reports[0] == reports[1]
    assert reports[0]["total"]["requests"] == 3
    assert usd(reports[0]["total"]["cost_usd"]) == sum(map(usd, costs))
