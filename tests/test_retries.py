"""What the service does when the Claude API fails: which failures it retries, and what the caller gets to see."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]
Ask = Callable[..., httpx2.Response]


@pytest.fixture
def ask(service: httpx2.Client, photo: Maker, case: str) -> Ask:
    """Sends a picture with an order to the sandbox to misbehave."""

    def send(fault: str, through: httpx2.Client = service) -> httpx2.Response:
        headers = {"x-vision-proxy-sandbox-fault": fault, "x-vision-proxy-sandbox-case": case}
        return through.post("/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}, headers=headers)

    return send


@pytest.fixture
def attempts(sandbox: httpx2.Client, case: str) -> Callable[[], int]:
    """How often the sandbox was called in this test."""

    def count() -> int:
        journal = sandbox.get("/sandbox/journal", params={"settled": "true"}).json()
        return sum(visit["headers"].get("x-vision-proxy-sandbox-case") == case for visit in journal)

    return count


@pytest.mark.parametrize(
    "fault",
    ["408; retry-after=0", "409; retry-after=0", "429; retry-after=0", "500; retry-after=0", "529; retry-after=0"],
)
def test_a_passing_failure_is_retried_until_it_is_gone(ask: Ask, attempts: Callable[[], int], fault: str) -> None:
    response = ask(f"{fault}; times=2")

    assert response.status_code == 200
    assert attempts() == 3


def test_a_dropped_connection_is_retried(ask: Ask, attempts: Callable[[], int]) -> None:
    response = ask("cut-before; times=1")

    assert response.status_code == 200
    assert attempts() == 2


@pytest.mark.parametrize("fault", ["500; retry-after=0", "529; retry-after=0", "429; retry-after=0"])
def test_after_two_retries_the_failure_is_the_caller_s(ask: Ask, attempts: Callable[[], int], fault: str) -> None:
    response = ask(fault)

    assert response.status_code == int(fault[:3])
    assert attempts() == 3


@pytest.mark.parametrize("fault", ["429", "429-spend", "400-spend", "403", "dimensions"])
def test_what_would_fail_again_is_not_retried(ask: Ask, attempts: Callable[[], int], fault: str) -> None:
    response = ask(fault)

    assert response.json()["error"]["details"]["error_code"] == "upstream_error"
    assert attempts() == 1


def test_an_upstream_error_keeps_status_type_message_and_ids(ask: Ask, sandbox: httpx2.Client) -> None:
    response = ask("429-spend")

    direct = sandbox.post(
        "/v1/messages",
        json={"model": "claude-sonnet-5-5", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]},
        headers={"x-vision-proxy-sandbox-fault": "429-spend"},
    )
    error, original = response.json()["error"], direct.json()["error"]
    assert response.status_code == direct.status_code == 429
    assert (error["type"], error["message"]) == (original["type"], original["message"])
    assert error["details"]["upstream"] == original["details"]
    assert error["details"]["upstream_request_id"].startswith("req_sandbox_")
    assert response.json()["request_id"].startswith("req_")


def test_a_long_retry_after_is_handed_to_the_caller(ask: Ask, attempts: Callable[[], int]) -> None:
    response = ask("429; retry-after=3600")

    assert (response.status_code, response.headers["retry-after"]) == (429, "3600")
    assert attempts() == 1


def test_an_answer_that_is_no_message_is_a_bad_gateway(ask: Ask, attempts: Callable[[], int]) -> None:
    response = ask("garbage")

    assert response.status_code == 502
    assert response.json()["error"]["type"] == "api_error"
    assert response.json()["error"]["details"]["error_code"] == "upstream_error"
    assert attempts() == 1  # it may have been billed; asking again could be billed twice


def test_an_answer_cut_in_its_body_is_unreachable_and_not_paid_twice(ask: Ask, attempts: Callable[[], int]) -> None:
    response = ask("cut")

    assert response.status_code == 502
    assert response.json()["error"]["details"]["error_code"] == "upstream_unreachable"
    assert attempts() == 1


def test_no_server_at_all_is_upstream_unreachable(start_service: StartService, ask: Ask) -> None:
    response = ask("", start_service("http://127.0.0.1:9", upstream_max_retries=0))

    assert response.status_code == 502
    assert response.json()["error"] | {"details": {}} == {
        "type": "api_error",
        "message": "the Claude API could not be reached",
        "details": {},
    }


def test_the_total_deadline_ends_a_slow_call(start_service: StartService, ask: Ask) -> None:
    response = ask("slow=20", start_service(upstream_timeout_s=0.5))

    assert response.status_code == 504
    assert response.json()["error"]["details"]["error_code"] == "upstream_timeout"
    assert response.json()["error"]["message"] == "no answer from the Claude API within 0.5 s"


def test_the_total_deadline_counts_retries_too(
    start_service: StartService, ask: Ask, attempts: Callable[[], int]
) -> None:
    response = ask("529; retry-after=5", start_service(upstream_timeout_s=0.5))

    assert response.status_code == 504
    assert attempts() == 1


def test_retries_are_a_setting(start_service: StartService, ask: Ask, attempts: Callable[[], int]) -> None:
    response = ask("529; retry-after=0", start_service(upstream_max_retries=0))

    assert response.status_code == 529
    assert attempts() == 1


def test_the_sdk_itself_does_not_retry(ask: Ask, sandbox: httpx2.Client, case: str) -> None:
    ask("500; retry-after=0")

    journal: list[dict[str, Any]] = sandbox.get("/sandbox/journal", params={"settled": "true"}).json()
    mine = [visit["headers"] for visit in journal if visit["headers"].get("x-vision-proxy-sandbox-case") == case]
    assert [headers["x-stainless-retry-count"] for headers in mine] == ["0", "0", "0"]
