"""The Message Batches API, by hand and through the official SDK."""

import gzip
import http.client
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import uuid4

import anthropic
import httpx2
import pytest

from app.domain import Json
from app.sandbox import State
from app.sandbox.batch_store import BatchStore
from tests.sandbox.pictures import Answer, file_block, image_block, message_body, padded_png, picture, text_block

StartSandbox = Callable[[State], httpx2.Client]

HELLO = message_body(text_block("hello"))
PNG = picture(30, 20)
NOW = "2026-12-01T12:00:00Z"
HELD = {"x-vision-proxy-sandbox-fault": "hold"}


def one(custom_id: str, params: Json = HELLO) -> dict[str, Json]:
    return {"custom_id": custom_id, "params": params}


def create(client: httpx2.Client, *requests: Json, **headers: str) -> httpx2.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/messages/batches", json={"requests": [*requests]}, headers=names)


def created(client: httpx2.Client, *requests: Json, headers: dict[str, str] | None = None) -> Answer:
    answer = client.post("/v1/messages/batches", json={"requests": [*requests]}, headers=headers)
    return answer.raise_for_status().json()


def results(client: httpx2.Client, batch: Answer) -> list[Answer]:
    lines = client.get(f"/v1/messages/batches/{batch['id']}/results").raise_for_status().text.splitlines()
    return [json.loads(line) for line in lines]


def counts(**given: int) -> dict[str, int]:
    return {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0, **given}


def refusal(answer: httpx2.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["error"]


def invalid(message: str) -> tuple[int, Json]:
    return 400, {"type": "invalid_request_error", "message": message}


def not_found(message: str) -> tuple[int, Json]:
    return 404, {"type": "not_found_error", "message": message}


def test_a_batch_has_ended_when_its_creation_is_answered(start_sandbox: StartSandbox, clock: Any) -> None:
    client = start_sandbox(State(clock=clock))

    batch = created(client, one("a"), one("b"), one("c", {"model": "gpt-4o"}))

    assert (
        batch
        == client.get(f"/v1/messages/batches/{batch['id']}").json()
        == {
            "id": batch["id"],
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": counts(succeeded=2, errored=1),
            "created_at": NOW,
            "expires_at": "2026-12-02T12:00:00Z",
            "ended_at": NOW,
            "cancel_initiated_at": None,
            "archived_at": None,
            "results_url": f"{client.base_url}/v1/messages/batches/{batch['id']}/results",
        }
    )
    assert batch["id"].startswith("msgbatch_sandbox_")


def test_results_are_at_the_address_by_which_the_sandbox_was_reached(client: httpx2.Client) -> None:
    batch = created(client, one("a"), headers={"host": "claude.test:1234"})

    assert batch["results_url"] == f"http://claude.test:1234/v1/messages/batches/{batch['id']}/results"


def test_results_are_lines_in_no_order_of_the_requests(client: httpx2.Client) -> None:
    batch = created(client, one("a"), one("b"), one("c"))
    answer = client.get(f"/v1/messages/batches/{batch['id']}/results")

    assert answer.headers["content-type"] == "application/x-jsonl"
    assert answer.text.endswith("\n")
    assert [json.loads(line)["custom_id"] for line in answer.text.splitlines()] == ["c", "b", "a"]


def test_a_result_is_the_message_at_the_tier_of_batches(client: httpx2.Client) -> None:
    body = message_body(image_block(picture(2000, 1500)), text_block("what?"))
    message = client.post("/v1/messages", json=body).json()

    [line] = results(client, created(client, one("a", body)))

    assert line["custom_id"] == "a"
    assert line["result"]["type"] == "succeeded"
    assert line["result"]["message"] == {
        **message,
        "id": line["result"]["message"]["id"],
        "usage": {**message["usage"], "service_tier": "batch"},
    }
    assert message["usage"]["service_tier"] == "standard"


@pytest.mark.parametrize(
    "params",
    [
        {},
        {**HELLO, "model": "gpt-4o"},
        {**HELLO, "max_tokens": -1},
        {**HELLO, "nonsense": 1},
        message_body(image_block(b"%PDF-1.7")),
        message_body(image_block(picture(8001, 1))),
        message_body(file_block("file_1")),
    ],
)
def test_what_a_message_is_refused_for_is_an_errored_result_with_the_same_error(
    client: httpx2.Client, params: dict[str, Json]
) -> None:
    refused = client.post("/v1/messages", json=params)
    answer = create(client, one("bad", params), one("good"))

    good, bad = results(client, answer.json())

    assert good["result"]["type"] == "succeeded"
    assert bad == {
        "custom_id": "bad",
        "result": {
            "type": "errored",
            "error": {
                "type": "error",
                "error": refused.json()["error"],
                "request_id": answer.headers["request-id"],
            },
        },
    }


def test_the_version_of_the_batch_is_that_of_its_requests(client: httpx2.Client) -> None:
    batch = create(client, one("a", {**HELLO, "temperature": 1}), anthropic_version="2026-10-21").json()

    assert batch["request_counts"] == counts(errored=1)


def test_a_request_of_a_batch_may_name_a_file_of_the_same_key(client: httpx2.Client) -> None:
    file = client.post("/v1/files", files={"file": ("a.png", PNG, "image/png")}).json()

    [line] = results(client, created(client, one("a", message_body(file_block(file["id"])))))

    assert line["result"]["message"]["usage"]["input_tokens"] == 2 + 8


def test_the_official_sdk_creates_polls_reads_lists_and_deletes(sandbox_url: str) -> None:
    with anthropic.Anthropic(api_key=uuid4().hex, base_url=sandbox_url, max_retries=0) as sdk:
        batch = sdk.messages.batches.create(
            requests=[
                {
                    "custom_id": "good",
                    "params": {
                        "model": "claude-haiku-5-5",
                        "max_tokens": 100,
                        "messages": [{"role": "user", "content": "hello"}],
                    },
                },
                {
                    "custom_id": "bad",
                    "params": {"model": "gpt-4o", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]},
                },
            ]
        )
        shown = sdk.messages.batches.retrieve(batch.id)
        [listed] = sdk.messages.batches.list()
        bad, good = sdk.messages.batches.results(batch.id)
        deleted = sdk.messages.batches.delete(batch.id)
        left = list(sdk.messages.batches.list())

    assert batch == shown == listed
    assert (batch.processing_status, batch.request_counts.succeeded, batch.request_counts.errored) == ("ended", 1, 1)
    assert (batch.expires_at - batch.created_at).total_seconds() == 86_400
    assert bad.result.type == "errored"
    assert (bad.custom_id, bad.result.error.error.message) == ("bad", "model: gpt-4o")
    assert good.result.type == "succeeded"
    assert (good.custom_id, good.result.message.usage.service_tier) == ("good", "batch")
    assert (deleted.id, deleted.type, left) == (batch.id, "message_batch_deleted", [])


def test_the_official_sdk_cancels_a_batch_that_is_held(sandbox_url: str) -> None:
    with anthropic.Anthropic(api_key="k", base_url=sandbox_url, max_retries=0, default_headers=HELD) as sdk:
        batch = sdk.messages.batches.create(
            requests=[
                {
                    "custom_id": "a",
                    "params": {
                        "model": "claude-opus-5",
                        "max_tokens": 9,
                        "messages": [{"role": "user", "content": "x"}],
                    },
                }
            ]
        )
        with pytest.raises(anthropic.AnthropicError, match="in_progress"):
            sdk.messages.batches.results(batch.id)
        canceling = sdk.messages.batches.cancel(batch.id)
        [line] = sdk.messages.batches.results(batch.id)

    assert (batch.processing_status, canceling.processing_status) == ("in_progress", "canceling")
    assert (line.custom_id, line.result.type) == ("a", "canceled")


def test_the_official_sdk_goes_through_every_page_newest_first(sandbox_url: str) -> None:
    key = uuid4().hex
    with httpx2.Client(base_url=sandbox_url, headers={"x-api-key": key}) as client:
        made = [created(client, one("a"))["id"] for _ in range(5)]
    with anthropic.Anthropic(api_key=key, base_url=sandbox_url, max_retries=0) as sdk:
        pages = [[batch.id for batch in page.data] for page in sdk.messages.batches.list(limit=2).iter_pages()]
        back = sdk.messages.batches.list(limit=2, before_id=made[0])

    newest_first = made[::-1]
    assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert ([batch.id for batch in back.data], back.has_more) == ([made[2], made[1]], True)


def test_a_held_batch_is_in_progress_until_it_is_canceled(start_sandbox: StartSandbox, clock: Any) -> None:
    client = start_sandbox(State(clock=clock))
    batch = created(client, one("a"), one("b"), headers=HELD)
    path = f"/v1/messages/batches/{batch['id']}"
    clock.advance(hours=1)

    held = client.get(path).json()
    canceling = client.post(f"{path}/cancel").json()
    ended = client.get(path).json()

    assert held == batch
    assert (batch["processing_status"], batch["request_counts"], batch["ended_at"], batch["results_url"]) == (
        "in_progress",
        counts(processing=2),
        None,
        None,
    )
    assert canceling == {**batch, "processing_status": "canceling", "cancel_initiated_at": "2026-12-01T13:00:00Z"}
    assert ended == {
        **canceling,
        "processing_status": "ended",
        "request_counts": counts(canceled=2),
        "ended_at": "2026-12-01T13:00:00Z",
        "results_url": f"{client.base_url}{path}/results",
    }
    assert results(client, batch) == [
        {"custom_id": "b", "result": {"type": "canceled"}},
        {"custom_id": "a", "result": {"type": "canceled"}},
    ]


def test_a_held_batch_expires_after_24_hours(start_sandbox: StartSandbox, clock: Any) -> None:
    client = start_sandbox(State(clock=clock))
    batch = created(client, one("a"), headers=HELD)

    clock.advance(hours=24, seconds=-1)
    [before] = client.get("/v1/messages/batches").json()["data"]
    clock.advance(seconds=1)
    [after] = client.get("/v1/messages/batches").json()["data"]

    assert before["processing_status"] == "in_progress"
    assert (after["processing_status"], after["request_counts"], after["ended_at"]) == (
        "ended",
        counts(expired=1),
        "2026-12-02T12:00:00Z",
    )
    assert results(client, batch) == [{"custom_id": "a", "result": {"type": "expired"}}]


def test_results_can_be_had_for_29_days(start_sandbox: StartSandbox, clock: Any) -> None:
    client = start_sandbox(State(clock=clock))
    batch = created(client, one("a"))
    path = f"/v1/messages/batches/{batch['id']}"

    clock.advance(days=29, seconds=-1)
    assert client.get(f"{path}/results").status_code == 200
    clock.advance(seconds=1)
    archived = client.get(path).json()

    assert archived == {**batch, "archived_at": "2026-12-30T12:00:00Z", "results_url": None}
    assert refusal(client.get(f"{path}/results")) == not_found(
        f"Message batch `{batch['id']}` has no results: it has not ended, or was archived."
    )


def test_a_batch_in_progress_has_no_results_and_is_not_deleted(client: httpx2.Client) -> None:
    batch = created(client, one("a"), headers=HELD)
    path = f"/v1/messages/batches/{batch['id']}"

    assert refusal(client.get(f"{path}/results")) == not_found(
        f"Message batch `{batch['id']}` has no results: it has not ended, or was archived."
    )
    assert refusal(client.delete(path)) == invalid(
        f"Message batch `{batch['id']}` is still in progress; cancel it before it is deleted."
    )


def test_a_batch_that_has_ended_is_not_canceled(client: httpx2.Client) -> None:
    batch = created(client, one("a"))

    assert refusal(client.post(f"/v1/messages/batches/{batch['id']}/cancel")) == invalid(
        f"Message batch `{batch['id']}` has ended and cannot be canceled."
    )


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/results")])
def test_an_unknown_batch_is_404_and_so_is_that_of_another_key(client: httpx2.Client, method: str, tail: str) -> None:
    batch_id: str = created(client, one("a"))["id"]

    unknown = client.request(method, f"/v1/messages/batches/msgbatch_1{tail}")
    foreign = client.request(method, f"/v1/messages/batches/{batch_id}{tail}", headers={"x-api-key": "another"})

    assert refusal(unknown) == not_found("Message batch `msgbatch_1` not found.")
    assert refusal(foreign) == not_found(f"Message batch `{batch_id}` not found.")


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("GET", ""), ("GET", "/msgbatch_1/results")])
def test_without_a_key_nothing_is_answered(sandbox_url: str, method: str, path: str) -> None:
    assert httpx2.request(method, f"{sandbox_url}/v1/messages/batches{path}").status_code == 401


@pytest.mark.parametrize("custom_id", ["a", "A-z_0", "x" * 64])
def test_a_custom_id_of_1_to_64_characters_is_taken(client: httpx2.Client, custom_id: str) -> None:
    assert results(client, created(client, one(custom_id)))[0]["custom_id"] == custom_id


@pytest.mark.parametrize("custom_id", ["", "x" * 65, "a.b", "a b", "ä", "a\n"])
def test_another_custom_id_is_refused_with_the_pattern(client: httpx2.Client, custom_id: str) -> None:
    assert refusal(create(client, one("fine"), one(custom_id))) == invalid(
        "requests.1.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "requests: Field required"),
        ({"requests": {}}, "requests: Input should be a valid list"),
        ({"requests": []}, "requests: List should have at least 1 item after validation, not 0"),
        ({"requests": [one("a")], "model": "x"}, "model: Extra inputs are not permitted"),
        ({"requests": ["a"]}, "requests.0: Input should be a valid dictionary"),
        ({"requests": [{"params": HELLO}]}, "requests.0.custom_id: Field required"),
        ({"requests": [{"custom_id": 1, "params": HELLO}]}, "requests.0.custom_id: Input should be a valid string"),
        ({"requests": [{"custom_id": "a"}]}, "requests.0.params: Field required"),
        ({"requests": [one("a", [])]}, "requests.0.params: Input should be a valid dictionary"),
        ({"requests": [{**one("a"), "method": "POST"}]}, "requests.0.method: Extra inputs are not permitted"),
        (
            {"requests": [one("a"), one("b"), one("a")]},
            "requests.2.custom_id: 'a' is already the custom_id of requests.0; each must be unique within the batch",
        ),
        ({"requests": [one("a", {**HELLO, "stream": True})]}, "requests.0.params.stream: not supported in a batch"),
        ({"requests": [one("a", {**HELLO, "speed": "fast"})]}, "requests.0.params.speed: not supported in a batch"),
        ({"requests": [one("a", {**HELLO, "fallbacks": []})]}, "requests.0.params.fallbacks: not supported in a batch"),
        (
            {"requests": [one("a", {**HELLO, "max_tokens": 0})]},
            "requests.0.params.max_tokens: 0 is not supported in a batch",
        ),
    ],
)
def test_a_batch_that_is_not_shaped_as_one_is_refused(client: httpx2.Client, body: Json, message: str) -> None:
    assert refusal(client.post("/v1/messages/batches", json=body)) == invalid(message)


def test_a_stream_that_is_not_wanted_may_be_said_to_be_so(client: httpx2.Client) -> None:
    assert created(client, one("a", {**HELLO, "stream": False}))["request_counts"] == counts(succeeded=1)


def test_100_000_requests_are_a_batch_and_one_more_is_not(client: httpx2.Client) -> None:
    requests: list[Json] = [one(str(number), {}) for number in range(100_001)]

    assert created(client, *requests[1:], headers=HELD)["request_counts"] == counts(processing=100_000)
    assert refusal(create(client, *requests)) == invalid(
        "requests: List should have at most 100000 items after validation, not 100001"
    )


@pytest.mark.parametrize(("size_bytes", "status"), [(256_000_001, 413), (32_000_001, 200)])
def test_a_batch_may_be_larger_than_a_message_and_is_refused_by_its_announced_length(
    client: httpx2.Client, size_bytes: int, status: int
) -> None:
    body = json.dumps({"requests": [one("a")]}).encode()
    connection = http.client.HTTPConnection(str(client.base_url.host), client.base_url.port, timeout=30)
    connection.putrequest("POST", "/v1/messages/batches")
    for name, value in {"x-api-key": "k", "content-length": str(size_bytes)}.items():
        connection.putheader(name, value)
    connection.endheaders(body.ljust(size_bytes) if status == 200 else None)

    answer = connection.getresponse()
    connection.close()

    assert answer.status == status


def test_a_gzip_batch_is_read(client: httpx2.Client) -> None:
    body = gzip.compress(json.dumps({"requests": [one("a")]}).encode())

    answer = client.post("/v1/messages/batches", content=body, headers={"content-encoding": "gzip"})

    assert answer.json()["request_counts"] == counts(succeeded=1)


def test_the_oldest_batch_is_forgotten_when_there_are_too_many(start_sandbox: StartSandbox) -> None:
    client = start_sandbox(State(batches=BatchStore(max_batches=2)))
    made = [created(client, one("a"))["id"] for _ in range(3)]

    assert [batch["id"] for batch in client.get("/v1/messages/batches").json()["data"]] == made[:0:-1]


def test_the_oldest_batch_is_forgotten_when_results_take_too_much_room(start_sandbox: StartSandbox) -> None:
    client = start_sandbox(State(batches=BatchStore(max_kept_bytes=2000)))  # a result has about 800 bytes
    made = [created(client, one("a"))["id"] for _ in range(3)]

    assert [batch["id"] for batch in client.get("/v1/messages/batches").json()["data"]] == made[:0:-1]


def test_the_journal_keeps_the_pictures_of_every_request_with_their_paths(client: httpx2.Client) -> None:
    file = client.post("/v1/files", files={"file": ("a.png", PNG, "image/png")}).json()
    client.delete("/sandbox/journal")
    requests = one("a", message_body(text_block("x"), image_block(PNG))), one("b", message_body(file_block(file["id"])))
    created(client, *requests)

    [visit] = client.get("/sandbox/journal").json()
    record = {
        "media_type": "image/png",
        "width": 30,
        "height": 20,
        "size_bytes": len(PNG),
        "sha256": sha256(PNG).hexdigest(),
    }
    assert (visit["path"], visit["fields"], visit["model"], visit["billed"]) == (
        "/v1/messages/batches",
        ["requests"],
        None,
        None,
    )
    assert visit["images"] == [
        {**record, "path": "requests.0.params.messages.0.content.1", "base64_chars": -(-len(PNG) // 3) * 4},
        {**record, "path": "requests.1.params.messages.0.content.0", "base64_chars": 0},
    ]


@pytest.mark.parametrize("fault", ["529", "429-spend", "500"])
def test_a_fault_refuses_the_batch_as_a_whole(start_sandbox: StartSandbox, fault: str) -> None:
    client = start_sandbox(State())

    answer = create(client, one("a"), x_vision_proxy_sandbox_fault=fault)

    assert answer.status_code == int(fault[:3])
    assert client.get("/v1/messages/batches").json() == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


@pytest.mark.parametrize("fault", ["dimensions=1000", "bytes"])
def test_a_fault_of_pictures_strikes_the_requests_that_have_such(client: httpx2.Client, fault: str) -> None:
    wide, long = image_block(picture(1001, 1)), image_block(padded_png(3_932_161))
    asked = [one("wide", message_body(wide)), one("long", message_body(long)), one("none")]

    lines = results(client, create(client, *asked, x_vision_proxy_sandbox_fault=fault).json())

    struck = {"dimensions=1000": "wide", "bytes": "long"}[fault]
    assert {line["custom_id"]: line["result"]["type"] for line in lines} == {
        "none": "succeeded",
        "long": "succeeded",
        "wide": "succeeded",
        struck: "errored",
    }


def test_results_can_be_cut_in_the_middle(client: httpx2.Client) -> None:
    batch = created(client, one("a"), one("b"))
    received: list[bytes] = []
    headers = {"x-vision-proxy-sandbox-fault": "cut"}

    path = f"/v1/messages/batches/{batch['id']}/results"
    with client.stream("GET", path, headers=headers) as answer, pytest.raises(httpx2.RemoteProtocolError):
        received.extend(answer.iter_bytes())

    assert b"".join(received).count(b"\n") == 1


def test_results_can_be_garbage(client: httpx2.Client) -> None:
    batch = created(client, one("a"))
    headers = {"x-vision-proxy-sandbox-fault": "garbage"}

    assert client.get(f"/v1/messages/batches/{batch['id']}/results", headers=headers).text[:6] == "<html>"
