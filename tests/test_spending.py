"""What the ledger says of every request that may spend, however it ends; asked through the front door."""

import base64
import csv
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from decimal import Decimal
from io import StringIO
from pathlib import Path
from sqlite3 import connect
from typing import Any

import httpx2
import pytest

from tests.conftest import Serve, StartService
from tests.gate import Gate

Maker = Callable[..., bytes]
Ask = Callable[..., httpx2.Response]

MODEL = "claude-sonnet-5-5"


@pytest.fixture
def fresh(start_service: StartService) -> httpx2.Client:
    """A service whose ledger is empty, and which does not wait long."""
    return start_service(upstream_timeout_s=0.5, upstream_max_retries=0)


def rows(service: httpx2.Client, **filters: str) -> list[dict[str, Any]]:
    return service.get("/v1/usage/requests", params=filters).json()["requests"]


def the_row(service: httpx2.Client) -> dict[str, Any]:
    """The only row, once it is no longer reserved; a stream is settled right behind its last byte."""
    for _ in range(200):
        [row] = rows(service)
        if row["state"] != "reserved":
            return row
    pytest.fail("it is never settled")


def analyze(service: httpx2.Client, photo: Maker, fault: str = "", **fields: str) -> httpx2.Response:
    headers = {"x-vision-proxy-sandbox-fault": fault} if fault else {}
    return service.post("/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}, data=fields, headers=headers)


def message(photo: Maker, **fields: object) -> dict[str, object]:
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(photo(64, 48)).decode()}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What?"}]
    return {"model": MODEL, "max_tokens": 20, "messages": [{"role": "user", "content": content}], **fields}


def test_an_answer_is_settled_with_what_it_cost(fresh: httpx2.Client, photo: Maker) -> None:
    answer = analyze(fresh, photo).json()

    [row] = rows(fresh)
    assert (row["state"], row["status"], row["endpoint"], row["model"], row["images"]) == (
        "settled",
        200,
        "/v1/analyze",
        MODEL,
        1,
    )
    assert row["cost_usd"] == answer["cost"]["total_usd"]
    assert row["cost_usd"] <= row["bound_usd"]
    assert row["usage"] == answer["usage"]
    assert (row["request_id"], row["upstream_request_id"]) == (answer["request_id"], answer["upstream_request_id"])
    assert (row["bytes_before"], row["bytes_after"]) == (
        answer["images"][0]["original"]["size_bytes"],
        answer["images"][0]["sent"]["size_bytes"],
    )
    assert {"receive", "normalize", "upstream", "total"} <= set(row["timing_ms"])


def test_a_message_is_settled_with_what_it_cost(fresh: httpx2.Client, photo: Maker) -> None:
    answer = fresh.post("/v1/messages", json=message(photo))

    [row] = rows(fresh)
    assert (row["state"], row["endpoint"]) == ("settled", "/v1/messages")
    assert row["cost_usd"] == answer.json()["usage"]["cost"]


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/messages"])
def test_a_stream_is_settled_at_its_end(fresh: httpx2.Client, photo: Maker, path: str) -> None:
    if path == "/v1/analyze":
        analyze(fresh, photo, stream="true")
    else:
        fresh.post(path, json=message(photo, stream=True))

    row = the_row(fresh)
    assert (row["state"], row["usage"]["output_tokens"] > 1) == ("settled", True)
    assert 0 < row["cost_usd"] <= row["bound_usd"]


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/messages"])
def test_a_stream_that_breaks_is_settled_with_what_had_been_billed(
    fresh: httpx2.Client, photo: Maker, path: str
) -> None:
    headers = {"x-vision-proxy-sandbox-fault": "cut"}
    if path == "/v1/analyze":
        analyze(fresh, photo, "cut", stream="true")
    else:
        fresh.post(path, json=message(photo, stream=True), headers=headers)

    row = the_row(fresh)
    assert (row["state"], row["status"]) == ("settled", 200)
    assert row["usage"]["input_tokens"] > 0
    assert row["cost_usd"] > 0


@pytest.mark.parametrize(("fault", "status"), [("400-spend", 400), ("529", 529), ("500", 500)])
def test_a_refusal_of_the_vendor_gives_the_reservation_back(
    fresh: httpx2.Client, photo: Maker, fault: str, status: int
) -> None:
    analyze(fresh, photo, fault)

    [row] = rows(fresh)
    assert (row["state"], row["status"], row["cost_usd"]) == ("released", status, 0)


def test_a_call_that_nobody_answered_may_have_cost_its_bound(fresh: httpx2.Client, photo: Maker) -> None:
    assert analyze(fresh, photo, "slow=45").status_code == 504

    [row] = rows(fresh)
    assert (row["state"], row["status"], row["cost_usd"]) == ("unknown", None, None)
    total = fresh.get("/v1/usage").json()["total"]
    assert (total["cost_usd"], total["unknown_usd"]) == (0, row["bound_usd"])


def test_a_client_that_leaves_during_a_call_leaves_its_bound(
    start_service: StartService, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    service = start_service()
    headers = {"x-vision-proxy-sandbox-fault": "slow=45", "x-vision-proxy-sandbox-case": case}
    with suppress(httpx2.ReadTimeout):
        service.post("/v1/analyze", files={"image": photo(64, 48)}, headers=headers, timeout=1)
    sandbox.get("/sandbox/journal", params={"settled": "true"})

    row = the_row(service)
    assert row["state"] == "unknown"
    assert row["bound_usd"] > 0


def test_what_is_refused_before_it_is_sent_leaves_no_row(fresh: httpx2.Client, photo: Maker) -> None:
    fresh.post("/v1/analyze", files={"image": b"no picture"})
    analyze(fresh, photo, max_cost_usd="0.000001")

    assert rows(fresh) == []


def test_a_picture_that_turns_out_to_be_broken_gives_the_reservation_back(fresh: httpx2.Client, photo: Maker) -> None:
    broken = photo(4000, 3000)[:-100_000]

    assert fresh.post("/v1/analyze", files={"image": broken}).status_code == 400

    assert [row["state"] for row in rows(fresh)] == ["released"]


def test_what_costs_nothing_leaves_no_row(fresh: httpx2.Client, photo: Maker) -> None:
    files = {"image": photo(64, 48)}
    fresh.post("/v1/estimate", files=files, data={"exact": "true"}).raise_for_status()
    fresh.post("/v1/normalize", files=files).raise_for_status()
    body = message(photo)
    del body["max_tokens"]
    fresh.post("/v1/messages/count_tokens", json=body).raise_for_status()

    assert rows(fresh) == []


def test_a_mended_request_is_one_row(fresh: httpx2.Client, photo: Maker) -> None:
    picture = photo(1500, 1000)
    headers = {"x-vision-proxy-sandbox-fault": "dimensions; times=1"}

    response = fresh.post("/v1/analyze", files={"image": picture}, headers=headers)

    assert [row["state"] for row in rows(fresh)] == [("settled" if response.status_code == 200 else "released")]


@pytest.mark.parametrize("group_by", ["key", "model", "day", "endpoint"])
def test_sums_equal_those_of_the_requests(fresh: httpx2.Client, photo: Maker, group_by: str) -> None:
    for model in (MODEL, "claude-haiku-4-5", MODEL):
        analyze(fresh, photo, model=model)
    fresh.post("/v1/messages", json=message(photo))

    report = fresh.get("/v1/usage", params={"group_by": group_by}).json()

    found = rows(fresh)
    cost = sum(Decimal(str(row["cost_usd"])) for row in found)
    assert Decimal(str(report["total"]["cost_usd"])) == cost
    assert sum(Decimal(str(group["cost_usd"])) for group in report["groups"]) == cost
    assert report["total"]["requests"] == len(found) == 4
    assert report["total"]["tokens"]["input"] == sum(row["usage"]["input_tokens"] for row in found)
    names = {"key": {"open"}, "model": {MODEL, "claude-haiku-4-5"}, "endpoint": {"/v1/analyze", "/v1/messages"}}
    assert {group["key"] for group in report["groups"]} == names.get(group_by, {found[0]["at"][:10]})


def test_the_ledger_is_paged_newest_first(fresh: httpx2.Client, photo: Maker) -> None:
    ids = [analyze(fresh, photo).json()["request_id"] for _ in range(5)]
    seen: list[str] = []
    page: str | None = None
    while True:
        params = {"limit": "2", **({"page": page} if page else {})}
        body = fresh.get("/v1/usage/requests", params=params).json()
        seen += [row["request_id"] for row in body["requests"]]
        page = body["next_page"]
        if page is None:
            break

    assert seen == ids[::-1]


def test_the_ledger_as_csv(fresh: httpx2.Client, photo: Maker) -> None:
    answer = analyze(fresh, photo).json()

    response = fresh.get("/v1/usage/requests", headers={"accept": "text/csv"})

    head, line = response.text.splitlines()
    assert response.headers["content-type"].startswith("text/csv")
    assert head.startswith("id,at,key,token,endpoint,model,state,status,")
    assert f"{answer['cost']['total_usd']:.9f}" in line
    assert json.dumps(answer["usage"]).replace('"', '""') in line


@pytest.mark.parametrize("model", ['=HYPERLINK("http://evil")', "+1", "-1", "@sum", "\t=1"])
def test_no_model_s_name_is_a_formula_to_a_spreadsheet(fresh: httpx2.Client, photo: Maker, model: str) -> None:
    analyze(fresh, photo, model=model)

    table = fresh.get("/v1/usage/requests", headers={"accept": "text/csv"}).text

    assert [row["model"] for row in csv.DictReader(StringIO(table, newline=""))] == [f"'{model}"]


def test_what_nobody_can_foresee_is_reserved_as_a_full_context(fresh: httpx2.Client, photo: Maker) -> None:
    for tool in (
        {"name": "look", "input_schema": {"type": "object"}},
        {"type": "web_search_20250305", "name": "web_search"},
    ):
        fresh.post("/v1/messages", json=message(photo, tools=[tool]))

    [searching, own] = [row["bound_usd"] for row in rows(fresh)]
    assert own < 0.1
    assert searching > 1


def test_the_ledger_holds_no_prompt_and_no_answer(fresh: httpx2.Client, photo: Maker) -> None:
    fresh.post("/v1/analyze", files={"image": ("secret-name.jpg", photo(64, 48))}, data={"prompt": "secret-prompt"})

    text = fresh.get("/v1/usage/requests").text

    assert "secret" not in text
    assert "[sandbox]" not in text


ADMIN = {"x-api-key": "an-admin-key-of-the-tests"}


@pytest.fixture
def kept(start_service: StartService) -> httpx2.Client:
    """A service with an admin key."""
    return start_service(admin_key=ADMIN["x-api-key"])


def made(service: httpx2.Client, **fields: object) -> dict[str, Any]:
    """A key, as the answer to its making has it."""
    response = service.post("/v1/keys", json={"name": "an app", **fields}, headers=ADMIN)
    assert response.status_code in {200, 201}, response.text
    return response.json()


def ask_as(service: httpx2.Client, key: str, photo: Maker, **fields: str) -> httpx2.Response:
    return service.post("/v1/analyze", files={"image": photo(64, 48)}, data=fields, headers={"x-api-key": key})


def test_a_budget_is_kept_and_the_refusal_has_the_figures(kept: httpx2.Client, photo: Maker) -> None:
    key = made(kept, budget_usd=0.1, budget_period="month")["key"]

    assert ask_as(kept, key, photo).status_code == 200
    response = ask_as(kept, key, photo, max_tokens="20000")

    error = response.json()["error"]
    assert (response.status_code, error["type"], error["details"]["error_code"]) == (
        402,
        "billing_error",
        "budget_exhausted",
    )
    assert error["details"]["budget_usd"] == 0.1
    assert 0 < error["details"]["spent_usd"] < 0.1 < error["details"]["spent_usd"] + error["details"]["bound_usd"]
    assert "renews_at" in error["details"]
    assert ask_as(kept, key, photo, max_tokens="20").status_code == 200


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/messages"])
def test_who_leaves_a_stream_has_its_bound_counted_on_the_budget(kept: httpx2.Client, photo: Maker, path: str) -> None:
    asked = message(photo, stream=True)
    kept.post(path, json=asked, headers=ADMIN).raise_for_status()
    [first] = kept.get("/v1/usage/requests", headers=ADMIN).json()["requests"]
    bound_usd = first["bound_usd"]
    headers = {
        "x-api-key": made(kept, budget_usd=round(1.5 * bound_usd, 9))["key"],
        "x-vision-proxy-sandbox-fault": "drip=10",
    }

    with kept.stream("POST", path, json=asked, headers=headers) as response:
        next(response.iter_bytes())
    refused = kept.post(path, json=asked, headers=headers)

    assert refused.status_code == 402
    while (left := kept.get("/v1/usage/requests", headers=ADMIN).json()["requests"][0])["state"] == "reserved":
        pass
    assert left["state"] == "settled"
    assert 0 < left["cost_usd"] < bound_usd


def test_a_limit_by_the_minute_is_kept_and_told_in_headers(kept: httpx2.Client, photo: Maker) -> None:
    key = made(kept, requests_per_minute=2)["key"]

    answers = [ask_as(kept, key, photo) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers.get("x-ratelimit-remaining-requests") for answer in answers] == ["1", "0", None]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
    assert answers[2].json()["error"]["details"]["error_code"] == "rate_limited"
    assert int(answers[2].headers["retry-after"]) > 0


def test_a_token_spends_on_the_key_that_made_it(kept: httpx2.Client, photo: Maker) -> None:
    key = made(kept)
    token = kept.post("/v1/tokens", json={"ttl_s": 60}, headers={"x-api-key": key["key"]}).json()["token"]

    assert ask_as(kept, token, photo).status_code == 200

    [row] = kept.get("/v1/usage/requests", headers={"x-api-key": key["key"]}).json()["requests"]
    assert (row["key"], row["token"] is not None) == (key["id"], True)


def test_a_token_s_own_budget_is_kept_too(kept: httpx2.Client, photo: Maker) -> None:
    key = made(kept)["key"]
    body = {"ttl_s": 60, "budget_usd": 0.000001}
    token = kept.post("/v1/tokens", json=body, headers={"x-api-key": key}).json()["token"]

    assert ask_as(kept, token, photo).status_code == 402
    assert ask_as(kept, key, photo).status_code == 200


def test_a_key_sees_its_own_usage_and_an_admin_everybody_s(kept: httpx2.Client, photo: Maker) -> None:
    one, other = made(kept), made(kept)
    for key in (one, one, other):
        ask_as(kept, key["key"], photo).raise_for_status()

    def seen(headers: dict[str, str], **params: str) -> list[str]:
        found = kept.get("/v1/usage/requests", headers=headers, params=params).json()["requests"]
        return sorted(row["key"] for row in found)

    assert seen({"x-api-key": one["key"]}) == [one["id"]] * 2
    assert seen(ADMIN) == sorted([one["id"]] * 2 + [other["id"]])
    assert seen(ADMIN, key=other["id"]) == [other["id"]]
    refused = kept.get("/v1/usage", headers={"x-api-key": one["key"]}, params={"key": other["id"]})
    assert (refused.status_code, refused.json()["error"]["details"]["error_code"]) == (403, "admin_only")


def test_sums_by_key_have_its_name_and_its_id(kept: httpx2.Client, photo: Maker) -> None:
    key = made(kept, name="billing")
    ask_as(kept, key["key"], photo).raise_for_status()

    [group] = kept.get("/v1/usage", headers=ADMIN).json()["groups"]

    assert (group["key"], group["id"]) == ("billing", key["id"])


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/usage/requests"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from", "yesterday"),
        ("from", "0001-01-01T00:00:00+12:00"),
        ("to", "9999-12-31T23:59:59-12:00"),
        ("key", "\0"),
    ],
)
def test_a_filter_that_is_none_is_refused_as_everything_else_is(
    start_service: StartService, database_url: str, path: str, name: str, value: str
) -> None:
    response = start_service(database_url=database_url).get(path, params={name: value})

    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert (error["details"]["error_code"], error["details"]["field"]) == ("invalid_request", name)


def test_a_group_that_there_is_not_is_refused_and_those_that_are_named(fresh: httpx2.Client) -> None:
    error = fresh.get("/v1/usage", params={"group_by": "colour"}).json()["error"]

    assert error["message"] == "group_by: Input should be 'key', 'model', 'day' or 'endpoint'"


def test_a_token_sees_no_usage(kept: httpx2.Client) -> None:
    key = made(kept)["key"]
    token = kept.post("/v1/tokens", json={"ttl_s": 60}, headers={"x-api-key": key}).json()["token"]

    response = kept.get("/v1/usage", headers={"x-api-key": token})

    assert (response.status_code, response.json()["error"]["details"]["error_code"]) == (403, "endpoint_not_allowed")


def bound(service: httpx2.Client, photo: Maker, **fields: object) -> float:
    """What that request was reserved with, whatever the vendor made of it."""
    service.post("/v1/messages", json=message(photo, **fields))
    return rows(service)[0]["bound_usd"]


def test_a_number_of_tokens_that_only_the_vendor_can_read_is_as_many_as_the_model_gives(
    fresh: httpx2.Client, photo: Maker
) -> None:
    least = bound(fresh, photo, max_tokens=64_000)

    assert all(bound(fresh, photo, max_tokens=odd) > least for odd in ("64000", 64000.0, [64000]))


def test_a_fallback_is_in_the_bound(fresh: httpx2.Client, photo: Maker) -> None:
    alone = [bound(fresh, photo, model=model, fallbacks=[]) for model in ("claude-haiku-4-5", "claude-opus-4-8")]

    both = bound(fresh, photo, model="claude-haiku-4-5", fallbacks=[{"model": "claude-opus-4-8"}])

    assert both == pytest.approx(sum(alone))


@pytest.mark.parametrize("fallbacks", [[{"model": "nobody-s"}], [{"model": f"claude-opus-{n}"} for n in range(30)]])
def test_fallbacks_without_a_price_are_refused_to_a_key_with_a_budget(
    kept: httpx2.Client, photo: Maker, fallbacks: list[dict[str, str]]
) -> None:
    key = made(kept, budget_usd=100)["key"]

    asked = message(photo, fallbacks=fallbacks)
    error = kept.post("/v1/messages", json=asked, headers={"x-api-key": key}).json()["error"]

    assert error["details"]["error_code"] == "max_cost_exceeded"
    assert fallbacks[0]["model"] in error["message"]


@pytest.mark.parametrize(("odd", "status"), [(-1, 400), (10**13, 402), (10**30, 402)])
def test_a_number_of_tokens_beyond_sense_is_no_matter_of_prices(
    kept: httpx2.Client, photo: Maker, odd: int, status: int
) -> None:
    key = made(kept, budget_usd=1)["key"]

    asked = message(photo, max_tokens=odd)
    response = kept.post("/v1/messages", json=asked, headers={"x-api-key": key})

    assert (response.status_code, "price" in response.text) == (status, False)


def test_a_model_without_a_price_is_refused_to_a_key_with_a_budget(kept: httpx2.Client, photo: Maker) -> None:
    key = made(kept, budget_usd=1)["key"]

    error = ask_as(kept, key, photo, model="claude-mythos-5").json()["error"]

    assert error["details"]["error_code"] == "max_cost_exceeded"


def test_an_answer_does_not_wait_for_its_settlement(
    start_service: StartService, serve: Serve, photo: Maker, tmp_path: Path
) -> None:
    gate = Gate()
    gate.shut()
    with serve(gate) as upstream, ThreadPoolExecutor(1) as caller, closing(connect(tmp_path / "a.db")) as other:
        service = start_service(upstream, database_url=f"sqlite:///{tmp_path}/a.db")
        asking = caller.submit(service.post, "/v1/messages", json=message(photo))
        assert gate.decided.acquire(timeout=30)
        other.execute("BEGIN IMMEDIATE")  # from here on nobody else writes
        gate.open()
        answer = asking.result(timeout=10)

        asking = caller.submit(rows, service)
        other.rollback()
        [row] = asking.result()

    assert (row["state"], row["cost_usd"]) == ("settled", answer.json()["usage"]["cost"])


@pytest.mark.parametrize("way", ["budget", "token of so many requests", "repeat"])
def test_an_answer_that_another_depends_on_is_settled_before_it_is_given(
    start_service: StartService, photo: Maker, tmp_path: Path, way: str
) -> None:
    service = start_service(database_url=f"sqlite:///{tmp_path}/a.db", admin_key=ADMIN["x-api-key"])
    key = made(service, **({"budget_usd": 1} if way == "budget" else {}))["key"]
    if way == "token of so many requests":
        token = service.post("/v1/tokens", json={"ttl_s": 60, "requests": 30}, headers={"x-api-key": key})
        key = token.json()["token"]
    with closing(connect(tmp_path / "a.db")) as beside:
        for number in range(20):
            headers = {"x-api-key": key, **({"idempotency-key": str(number)} if way == "repeat" else {})}
            service.post("/v1/messages", json=message(photo), headers=headers).raise_for_status()

            assert beside.execute("SELECT DISTINCT state FROM requests").fetchall() == [("settled",)]
