"""What the ledger says of a batch, from its creation to the last of its results, and who may see it."""

import base64
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from app.database.sql import open_database
from app.ledger import open_ledger
from tests.conftest import ADMIN, StartService
from tests.figures import figures_of, of

Maker = Callable[..., bytes]

PATH = "/v1/messages/batches"
SONNET, OPUS = "claude-sonnet-5-5", "claude-opus-5"
HELD = {"x-vision-proxy-sandbox-fault": "hold"}

BATCH_PRICES = {SONNET: (Decimal(1), Decimal(5)), OPUS: (Decimal("2.5"), Decimal("12.5"))}
"""USD for a million tokens in and out in a batch: half of the standard price.

Source: https://platform.claude.com/docs/en/about-claude/pricing, seen 2026-08-22.
"""


def block(picture: bytes) -> dict[str, Any]:
    data = base64.b64encode(picture).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": data}}


def params(*content: Any, model: str = SONNET, **more: Any) -> dict[str, Any]:
    blocks = [*content, {"type": "text", "text": "hi"}]
    return {"model": model, "max_tokens": 60, "messages": [{"role": "user", "content": blocks}], **more}


def batch_of(*requests: dict[str, Any]) -> dict[str, Any]:
    return {"requests": [{"custom_id": f"r{number}", "params": one} for number, one in enumerate(requests)]}


def by(key: str) -> dict[str, str]:
    return {"x-api-key": key}


def created(service: httpx2.Client, *requests: dict[str, Any], **headers: str) -> tuple[str, httpx2.Response]:
    """The id of a new batch, and the whole answer."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = service.post(PATH, json=batch_of(*requests), headers=names)
    assert response.status_code == 200, response.text
    return response.json()["id"], response


def rows_of(service: httpx2.Client, creation: httpx2.Response) -> list[dict[str, Any]]:
    """The rows of the ledger that the creation of a batch made, by model."""
    made_by = creation.headers["x-vision-proxy-request-id"]
    found = service.get("/v1/usage/requests", params={"limit": 1000}, headers=by(ADMIN)).json()["requests"]
    return sorted((row for row in found if row["request_id"] == made_by), key=lambda row: row["model"])


def results(service: httpx2.Client, batch_id: str, **headers: str) -> httpx2.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.get(f"{PATH}/{batch_id}/results", headers=names)


def told(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["details"]["error_code"]


def key_of(service: httpx2.Client, **fields: object) -> dict[str, Any]:
    """A key, as the answer to its making has it."""
    return service.post("/v1/keys", json={"name": "app", **fields}, headers=by(ADMIN)).raise_for_status().json()


@pytest.fixture
def kept(start_service: StartService) -> httpx2.Client:
    """A service with an admin key, by the machine's clock."""
    return start_service(admin_key=ADMIN)


def test_a_batch_of_two_models_is_two_rows_that_its_results_settle(
    start_service: StartService, sandbox: httpx2.Client, photo: Maker
) -> None:
    """The bill is added up anew from what the sandbox itself says, line by line."""
    service = start_service()
    picture = block(photo(640, 480))
    batch_id, creation = created(
        service, params(picture), params(model=OPUS), params(picture, picture, model=OPUS), params(nonsense=1)
    )

    before = rows_of(service, creation)
    results(service, batch_id).raise_for_status()
    after = rows_of(service, creation)

    assert [(row["model"], row["state"], row["requests"], row["images"]) for row in before] == [
        (OPUS, "reserved", 2, 2),
        (SONNET, "reserved", 2, 1),
    ]
    answers = [json.loads(line)["result"] for line in sandbox.get(f"{PATH}/{batch_id}/results").text.splitlines()]
    messages = [result["message"] for result in answers if result["type"] == "succeeded"]
    assert len(messages) == 3
    for row in after:
        usages = [message["usage"] for message in messages if message["model"] == row["model"]]
        tokens = [sum(usage[field] for usage in usages) for field in ("input_tokens", "output_tokens")]
        cost = sum(count * rate for count, rate in zip(tokens, BATCH_PRICES[row["model"]], strict=True)) / 1_000_000
        assert (row["state"], row["endpoint"], row["status"]) == ("settled", PATH, 200)
        assert [row["usage"]["input_tokens"], row["usage"]["output_tokens"]] == tokens
        assert Decimal(str(row["cost_usd"])) == cost
        assert 0 < row["cost_usd"] <= row["bound_usd"]
        assert row["upstream_request_id"] == creation.headers["request-id"]
        assert row["bytes_before"] >= row["bytes_after"] > 0
    [group] = service.get("/v1/usage", params={"group_by": "endpoint"}).json()["groups"]
    assert (group["key"], group["requests"], group["images"]) == (PATH, 4, 3)
    assert Decimal(str(group["cost_usd"])) == sum(Decimal(str(row["cost_usd"])) for row in after)
    assert {one["key"] for one in service.get("/v1/usage", params={"group_by": "model"}).json()["groups"]} == {
        SONNET,
        OPUS,
    }


def test_the_cost_of_the_results_is_that_of_the_ledger_however_often_they_are_read(service: httpx2.Client) -> None:
    batch_id, creation = created(service, params(), params(), params())

    first, second = results(service, batch_id), results(service, batch_id)

    [row] = rows_of(service, creation)
    costs = [json.loads(line)["result"]["message"]["usage"]["cost"] for line in first.text.splitlines()]
    assert second.text == first.text
    assert Decimal(str(row["cost_usd"])) == sum(Decimal(str(cost)) for cost in costs)
    assert row["usage"]["service_tier"] == "batch"


def test_results_that_are_cut_settle_nothing_and_whole_ones_do(service: httpx2.Client) -> None:
    batch_id, creation = created(service, *[params()] * 10)

    with pytest.raises(httpx2.RemoteProtocolError):
        results(service, batch_id, x_vision_proxy_sandbox_fault="cut")

    assert [row["state"] for row in rows_of(service, creation)] == ["reserved"]
    results(service, batch_id)
    assert [row["state"] for row in rows_of(service, creation)] == ["settled"]


def test_a_client_that_leaves_before_the_last_result_settles_nothing(
    service: httpx2.Client, sandbox: httpx2.Client, case: str
) -> None:
    """The second line is an hour away."""
    batch_id, creation = created(service, params(), params())
    headers = {"x-vision-proxy-sandbox-fault": "drip=3600", "x-vision-proxy-sandbox-case": case}

    with service.stream("GET", f"{PATH}/{batch_id}/results", headers=headers) as response:
        next(response.iter_lines())
    sandbox.get("/sandbox/journal", params={"settled": "true"})

    assert [row["state"] for row in rows_of(service, creation)] == ["reserved"]


def test_results_without_one_line_settle_nothing(
    start_service: StartService, scripted: Callable[..., str], sandbox: httpx2.Client, tmp_path: Path
) -> None:
    """A stream that ends well and early looks whole to whoever counts no lines."""
    url = f"sqlite+aiosqlite:///{tmp_path}/two.db"
    service = start_service(database_url=url)
    batch_id, creation = created(service, params(), params())
    whole = sandbox.get(f"{PATH}/{batch_id}/results").content
    first_line, _, rest = whole.partition(b"\n")

    results(start_service(scripted(first_line + b"\n"), database_url=url), batch_id)

    assert rest
    assert [row["state"] for row in rows_of(service, creation)] == ["reserved"]


def test_a_batch_that_ended_without_an_answer_costs_nothing(service: httpx2.Client) -> None:
    batch_id, creation = created(service, params(), params(model=OPUS), **HELD)

    held = rows_of(service, creation)
    service.post(f"{PATH}/{batch_id}/cancel")
    service.get(f"{PATH}/{batch_id}")

    assert [row["state"] for row in held] == ["reserved", "reserved"]
    assert [(row["state"], row["cost_usd"]) for row in rows_of(service, creation)] == [("released", 0)] * 2


def test_a_batch_is_settled_before_its_results_are_deleted(service: httpx2.Client) -> None:
    batch_id, creation = created(service, params())

    service.delete(f"{PATH}/{batch_id}").raise_for_status()

    [row] = rows_of(service, creation)
    assert (row["state"], row["cost_usd"] > 0) == ("settled", True)
    assert told(service.get(f"{PATH}/{batch_id}")) == (404, "batch_not_found")


def test_a_batch_whose_results_break_off_is_not_deleted(service: httpx2.Client) -> None:
    batch_id, creation = created(service, *[params()] * 10)

    refused = service.delete(f"{PATH}/{batch_id}", headers={"x-vision-proxy-sandbox-fault": "cut"})

    assert refused.status_code == 502
    assert service.get(f"{PATH}/{batch_id}").status_code == 200
    assert [row["state"] for row in rows_of(service, creation)] == ["reserved"]


def test_a_batch_that_the_vendor_has_forgotten_is_left_out_and_keeps_its_bound(
    service: httpx2.Client, sandbox: httpx2.Client
) -> None:
    kept_id, _ = created(service, params())
    gone_id, creation = created(service, params())
    sandbox.delete(f"{PATH}/{gone_id}").raise_for_status()

    listed = [batch["id"] for batch in service.get(PATH, params={"limit": 2}).json()["data"]]
    shown, deleted = service.get(f"{PATH}/{gone_id}"), service.delete(f"{PATH}/{gone_id}")

    assert listed == [kept_id]
    assert (shown.status_code, deleted.status_code) == (404, 404)
    assert shown.json()["request_id"].startswith("req_sandbox_")
    assert told(service.get(f"{PATH}/{gone_id}")) == (404, "batch_not_found")
    assert [row["state"] for row in rows_of(service, creation)] == ["unknown"]


@pytest.mark.parametrize(("fault", "status", "state"), [("400-spend", 400, "released"), ("slow=45", 504, "unknown")])
def test_a_batch_that_was_not_made_is_released_or_unknown(
    start_service: StartService, fault: str, status: int, state: str
) -> None:
    service = start_service(upstream_timeout_s=0.5, upstream_max_retries=0)

    headers = {"x-vision-proxy-sandbox-fault": fault}
    response = service.post(PATH, json=batch_of(params(), params(model=OPUS)), headers=headers)

    rows = service.get("/v1/usage/requests").json()["requests"]
    assert (response.status_code, [row["state"] for row in rows]) == (status, [state, state])
    assert of(figures_of(service), "ledger_entries_total", state=state) == 2
    assert service.get(PATH).json() == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_a_batch_that_the_database_would_not_take_at_first_is_in_the_list(
    start_service: StartService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = start_service(database_url=f"sqlite:///{tmp_path}/own.db")
    service.get("/readyz").raise_for_status()  # it has made its tables
    with (
        closing(sqlite3.connect(tmp_path / "own.db", isolation_level=None)) as database,
        ThreadPoolExecutor(1) as apart,
    ):
        database.execute("CREATE TRIGGER full BEFORE INSERT ON batches BEGIN SELECT RAISE(ABORT, 'full'); END")
        making = apart.submit(created, service, params())
        while "is put there again" not in caplog.text:
            assert not making.done()
        database.execute("DROP TRIGGER full")
        batch_id, _ = making.result()

    assert [batch["id"] for batch in service.get(PATH).json()["data"]] == [batch_id]


def test_a_batch_that_the_database_never_took_is_told_to_the_operator(
    start_service: StartService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = start_service(database_url=f"sqlite:///{tmp_path}/own.db")
    service.get("/readyz").raise_for_status()  # it has made its tables
    with closing(sqlite3.connect(tmp_path / "own.db", isolation_level=None)) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON batches BEGIN SELECT RAISE(ABORT, 'full'); END")

        response = service.post(PATH, json=batch_of(params()))

    assert response.status_code == 500
    assert "is at the vendor and in no list here" in caplog.text
    assert [row["state"] for row in service.get("/v1/usage/requests").json()["requests"]] == ["unknown"]


def test_a_budget_has_room_for_a_whole_batch_or_nothing_is_sent(kept: httpx2.Client, sandbox: httpx2.Client) -> None:
    """Either model alone would fit."""
    one = key_of(kept)
    _, creation = created(kept, params(max_tokens=1000), params(max_tokens=1000, model=OPUS), **by(one["key"]))
    bounds = [row["bound_usd"] for row in rows_of(kept, creation)]
    key = key_of(kept, budget_usd=round(sum(bounds) - 1e-6, 9))["key"]
    before = len(sandbox.get("/sandbox/journal").json())
    body = batch_of(params(max_tokens=1000), params(max_tokens=1000, model=OPUS))

    refused = kept.post(PATH, json=body, headers=by(key))

    assert told(refused) == (402, "budget_exhausted")
    details = refused.json()["error"]["details"]
    assert (details["bound_usd"], details["reserved_usd"]) == (pytest.approx(sum(bounds), abs=1e-9), 0)
    assert kept.get("/v1/usage/requests", headers=by(key)).json()["requests"] == []
    assert len(sandbox.get("/sandbox/journal").json()) == before
    assert kept.post(PATH, json=batch_of(params(max_tokens=1000)), headers=by(key)).status_code == 200


def test_a_request_that_asks_for_less_than_nothing_takes_nothing_off_the_others(service: httpx2.Client) -> None:
    _, plain = created(service, params(), params())
    _, odd = created(service, params(), params(), params(max_tokens=-1_000_000))

    [plain_row], [odd_row] = rows_of(service, plain), rows_of(service, odd)
    assert odd_row["bound_usd"] > plain_row["bound_usd"]


def test_every_request_of_a_batch_counts_by_the_minute(kept: httpx2.Client) -> None:
    key = key_of(kept, requests_per_minute=5)["key"]

    _, response = created(kept, params(), params(), params(model=OPUS), **by(key))
    too_fast = kept.post(PATH, json=batch_of(params(), params(), params(model=OPUS)), headers=by(key))
    too_many = kept.post(PATH, json=batch_of(*[params()] * 3, *[params(model=OPUS)] * 3), headers=by(key))

    assert response.headers["x-ratelimit-remaining-requests"] == "2"
    assert (told(too_fast), "retry-after" in too_fast.headers) == ((429, "rate_limited"), True)
    assert (told(too_many), "retry-after" in too_many.headers) == ((429, "rate_limited"), False)


def test_every_request_of_a_batch_counts_on_its_token_and_a_batch_that_was_not_made_does_not(
    kept: httpx2.Client,
) -> None:
    key = key_of(kept)["key"]
    token = kept.post("/v1/tokens", json={"ttl_s": 600, "requests": 3}, headers=by(key)).json()["token"]
    failing = {**by(token), "x-vision-proxy-sandbox-fault": "400-spend"}

    answers = [
        kept.post(PATH, json=batch_of(params(), params(), params()), headers=failing).status_code,
        kept.post(PATH, json=batch_of(params(), params(model=OPUS)), headers=by(token)).status_code,
        kept.post(PATH, json=batch_of(params(), params(model=OPUS)), headers=by(token)).status_code,
        kept.post(PATH, json=batch_of(params()), headers=by(token)).status_code,
    ]

    assert answers == [400, 200, 402, 200]


def test_a_model_without_a_price_is_refused_to_a_key_with_a_budget(kept: httpx2.Client) -> None:
    key = key_of(kept, budget_usd=100)["key"]

    refused = kept.post(PATH, json=batch_of(params(), params(model="claude-mythos-5")), headers=by(key))

    assert told(refused) == (402, "max_cost_exceeded")
    assert refused.json()["error"]["message"].startswith("requests.1 (r1): no price of claude-mythos-5 is known")


def test_a_batch_is_its_key_s_alone(kept: httpx2.Client) -> None:
    one, other = key_of(kept)["key"], key_of(kept)["key"]
    token = kept.post("/v1/tokens", json={"ttl_s": 600}, headers=by(one)).json()["token"]
    batch_id, _ = created(kept, params(), **by(token))
    calls = (("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", ""))

    for stranger in (other, ADMIN):
        for method, tail in calls:
            foreign = kept.request(method, f"{PATH}/{batch_id}{tail}", headers=by(stranger))
            unknown = kept.request(method, f"{PATH}/msgbatch_none{tail}", headers=by(stranger))
            assert told(foreign) == told(unknown) == (404, "batch_not_found")
            assert foreign.json()["error"]["message"] == f"Message batch `{batch_id}` not found."
        assert kept.get(PATH, headers=by(stranger)).json()["data"] == []
        assert told(kept.get(PATH, params={"after_id": batch_id}, headers=by(stranger))) == (400, "invalid_request")
    assert kept.get(f"{PATH}/{batch_id}", headers=by(one)).status_code == 200
    assert [batch["id"] for batch in kept.get(PATH, headers=by(token)).json()["data"]] == [batch_id]


def test_the_list_is_paged_both_ways(start_service: StartService, database_url: str) -> None:
    service = start_service(database_url=database_url)
    made = [created(service, params())[0] for _ in range(5)][::-1]

    def page(**asked: Any) -> tuple[list[str], bool, str | None, str | None]:
        body = service.get(PATH, params=asked).json()
        return [batch["id"] for batch in body["data"]], body["has_more"], body["first_id"], body["last_id"]

    assert page() == (made, False, made[0], made[4])
    assert page(limit=2) == (made[:2], True, made[0], made[1])
    assert page(limit=2, after_id=made[1]) == (made[2:4], True, made[2], made[3])
    assert page(limit=2, after_id=made[3]) == (made[4:], False, made[4], made[4])
    assert page(limit=2, before_id=made[4]) == (made[2:4], True, made[2], made[3])
    assert page(limit=2, before_id=made[2]) == (made[:2], False, made[0], made[1])
    assert page(before_id=made[0]) == ([], False, None, None)
    for wrong in ({"limit": 0}, {"limit": 1001}, {"after_id": "x"}, {"after_id": made[0], "before_id": made[1]}):
        assert told(service.get(PATH, params=wrong)) == (400, "invalid_request")


class LaterClock:
    """An hour ahead of everybody: to it the others have long been silent."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=1)


def test_a_batch_of_a_dead_process_is_unknown_until_another_reads_its_results(
    start_service: StartService, database_url: str
) -> None:
    one = start_service(database_url=database_url)
    batch_id, creation = created(one, params(), params(model=OPUS))

    async def take_it_for_dead() -> None:
        async with open_database(database_url) as database, open_ledger(database, LaterClock(), "later"):
            pass

    anyio.run(take_it_for_dead)
    dead = rows_of(one, creation)
    other = start_service(database_url=database_url)
    for service in (other, one):
        results(service, batch_id)

    settled = rows_of(other, creation)
    assert [row["state"] for row in dead] == ["unknown", "unknown"]
    assert [row["state"] for row in settled] == ["settled", "settled"]
    total = one.get("/v1/usage").json()["total"]
    assert Decimal(str(total["cost_usd"])) == sum(Decimal(str(row["cost_usd"])) for row in settled)
    assert (total["unknown_usd"], total["requests"]) == (0, 2)
