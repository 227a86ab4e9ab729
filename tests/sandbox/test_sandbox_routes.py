"""Who may ask what: routes, keys, bodies, models."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.sandbox.pictures import MODEL, message_body, text_block

HELLO = message_body(text_block("hello"))


def test_every_answer_says_that_it_is_the_sandbox_and_has_its_own_request_id(client: httpx2.Client) -> None:
    answers = [client.post("/v1/messages", json=HELLO), client.get("/v1/models"), client.get("/nothing")]

    assert {answer.headers["x-vision-proxy-sandbox"] for answer in answers} == {"true"}
    assert len({answer.headers["request-id"] for answer in answers}) == 3
    assert all(answer.headers["request-id"].startswith("req_sandbox_") for answer in answers)
    assert answers[0].headers["anthropic-ratelimit-requests-limit"] == "1000"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/v1/messages"), ("POST", "/v1/nothing"), ("GET", "/v1/models/")]
)
def test_an_unknown_route_is_404_in_the_vendors_envelope(client: httpx2.Client, method: str, path: str) -> None:
    answer = client.request(method, path)

    assert (answer.status_code, answer.json()) == (
        404,
        {
            "type": "error",
            "error": {"type": "not_found_error", "message": "Not Found"},
            "request_id": answer.headers["request-id"],
        },
    )


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": ""}, {"authorization": "Basic abc"}, {"authorization": "Bearer"}]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models")]
)
def test_without_a_key_nothing_is_answered(sandbox_url: str, method: str, path: str, headers: dict[str, str]) -> None:
    answer = httpx2.request(method, sandbox_url + path, headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (
        401,
        {"type": "authentication_error", "message": "x-api-key header is required"},
    )


def test_a_bearer_token_is_as_good_as_an_api_key(sandbox_url: str) -> None:
    answer = httpx2.get(f"{sandbox_url}/v1/models", headers={"authorization": "Bearer anything"})

    assert answer.status_code == 200


def test_livez_needs_no_key(sandbox_url: str) -> None:
    assert httpx2.get(f"{sandbox_url}/livez").status_code == 200


def test_a_body_of_exactly_32_000_000_bytes_is_read(client: httpx2.Client) -> None:
    assert client.post("/v1/messages", content=padded_body(32_000_000)).status_code == 200


@pytest.mark.parametrize("announced", [True, False])
def test_one_byte_more_is_refused_in_the_words_of_the_network_in_front(
    client: httpx2.Client, *, announced: bool
) -> None:
    body = padded_body(32_000_001)

    answer = client.post("/v1/messages", content=body if announced else in_chunks(body))

    assert (answer.status_code, answer.json()) == (
        413,
        {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}},
    )


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"{'a': 1}"])
def test_a_body_that_is_no_json_is_refused(client: httpx2.Client, body: bytes) -> None:
    answer = client.post("/v1/messages", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("The request body is not valid JSON")


def test_models_are_listed_page_after_page_in_one_order(client: httpx2.Client) -> None:
    everything = [model["id"] for model in client.get("/v1/models", params={"limit": 1000}).json()["data"]]

    first = client.get("/v1/models", params={"limit": 2}).json()
    second = client.get("/v1/models", params={"limit": 2, "after_id": first["last_id"]}).json()
    back = client.get("/v1/models", params={"limit": 2, "before_id": second["first_id"]}).json()

    assert [model["id"] for model in first["data"] + second["data"]] == everything[:4]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (everything[0], everything[1], True)
    assert (back["data"], back["has_more"]) == (first["data"], False)


def test_the_last_page_says_that_it_is_the_last(client: httpx2.Client) -> None:
    everything = client.get("/v1/models", params={"limit": 1000}).json()

    last = client.get("/v1/models", params={"after_id": everything["data"][-2]["id"], "limit": 1}).json()

    assert (everything["has_more"], last["has_more"], last["data"]) == (False, False, everything["data"][-1:])


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "x"},
        {"lifecycle": "x"},
        {"after_id": "no"},
        {"after_id": MODEL, "before_id": MODEL},
    ],
)
def test_a_page_that_cannot_be_is_refused(client: httpx2.Client, query: dict[str, str]) -> None:
    answer = client.get("/v1/models", params=query)

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(("lifecycle", "ids"), [("deprecated", ["claude-sonnet-4-5-20250929"]), ("retired", [])])
def test_models_can_be_listed_by_their_stage_of_life(client: httpx2.Client, lifecycle: str, ids: list[str]) -> None:
    listed = client.get("/v1/models", params={"lifecycle": lifecycle}).json()

    assert [model["id"] for model in listed["data"]] == ids


def test_a_model_is_described_under_its_full_id(client: httpx2.Client) -> None:
    model = client.get("/v1/models/claude-sonnet-4-5").json()
    del model["capabilities"]

    assert model == {
        "type": "model",
        "id": "claude-sonnet-4-5-20250929",
        "display_name": "Claude Sonnet 4.5",
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "deprecated",
        "deprecated_at": None,
        "retires_at": "2026-11-30T00:00:00Z",
        "line": "sonnet",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }


@pytest.mark.parametrize("model_id", ["gpt-4o", "claude-sonnet-4-20250514", "claude-3-haiku-20240307", "claude-opus"])
def test_an_unknown_or_retired_model_is_not_described(client: httpx2.Client, model_id: str) -> None:
    answer = client.get(f"/v1/models/{model_id}")

    assert (answer.status_code, answer.json()["error"]) == (
        404,
        {"type": "not_found_error", "message": f"model: {model_id}"},
    )


def padded_body(size_bytes: int) -> bytes:
    body = httpx2.Request("POST", "http://x", json=HELLO).read()
    return body + b" " * (size_bytes - len(body))


def in_chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 1_000_000):
        yield body[start : start + 1_000_000]
