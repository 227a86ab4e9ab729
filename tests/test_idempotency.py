"""`Idempotency-Key`: a POST that spends, repeated within a day, gets the first answer and spends nothing."""

import base64
import gzip
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clock import MovableClock
from tests.conftest import ADMIN, StartService
from tests.processes import running_service

Maker = Callable[..., bytes]

MODEL = "claude-sonnet-5-5"
DAY_S = 24 * 3_600
ENDPOINTS = pytest.mark.parametrize("path", ["/v1/analyze", "/v1/messages"])


@pytest.fixture(scope="module")
def picture(photo: Maker) -> bytes:
    return photo(64, 48)


def body(path: str, picture: bytes, **fields: object) -> dict[str, object]:
    """A request of that endpoint, about one picture."""
    data = base64.b64encode(picture).decode()
    if path == "/v1/analyze":
        return {"images": [{"data": data}], "prompt": "What?", **fields}
    source = {"type": "base64", "media_type": "image/jpeg", "data": data}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What?"}]
    return {"model": MODEL, "max_tokens": 20, "messages": [{"role": "user", "content": content}], **fields}


def ask(service: httpx2.Client, path: str, asked: object, key: str, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.post(path, json=asked, headers={"idempotency-key": key, **named})


def visits(sandbox: httpx2.Client, case: str) -> list[dict[str, Any]]:
    """The calls that reached the vendor under that case, once none is in progress."""
    journal = sandbox.get("/sandbox/journal", params={"settled": "true"}).json()
    return [visit for visit in journal if visit["headers"].get("x-vision-proxy-sandbox-case") == case]


def told(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["details"]["error_code"]


def is_replay(response: httpx2.Response) -> bool:
    assert response.status_code == 200, response.text
    return response.headers.get("idempotent-replayed") == "true"


def until_free(service: httpx2.Client, path: str, asked: object, key: str) -> httpx2.Response:
    """The answer once the first request has been settled, which is right behind its last byte."""
    for _ in range(500):
        response = ask(service, path, asked, key)
        if response.status_code != 409:
            return response
    pytest.fail("the key is never free")


@ENDPOINTS
def test_a_repeat_gets_the_first_answer_and_spends_nothing(
    start_service: StartService, database_url: str, sandbox: httpx2.Client, picture: bytes, path: str, case: str
) -> None:
    service = start_service(database_url=database_url)
    asked, by_case = body(path, picture), {"x_vision_proxy_sandbox_case": case}

    first = ask(service, path, asked, "one", **by_case)
    spent = service.get("/v1/usage").json()
    again = ask(service, path, asked, "one", **by_case)

    assert (is_replay(first), is_replay(again)) == (False, True)
    assert again.content == first.content
    for name in ("content-type", "x-vision-proxy-cost-usd", "x-vision-proxy-image-tokens"):
        assert again.headers.get(name) == first.headers.get(name)
    assert service.get("/v1/usage").json() == spent
    [visit] = visits(sandbox, case)
    assert "idempotency-key" not in visit["headers"]


@ENDPOINTS
def test_a_streamed_answer_is_given_again_event_by_event(
    start_service: StartService, database_url: str, sandbox: httpx2.Client, picture: bytes, path: str, case: str
) -> None:
    service = start_service(database_url=database_url)
    asked = body(path, picture, stream=True)
    headers = {"idempotency-key": "one", "x-vision-proxy-sandbox-case": case, "x-vision-proxy-report": "full"}

    first = service.post(path, json=asked, headers=headers)
    while (again := service.post(path, json=asked, headers=headers)).status_code == 409:
        pass  # it is settled right behind its last byte

    assert (is_replay(first), is_replay(again)) == (False, True)
    assert again.text == first.text
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(visits(sandbox, case)) == 1


def test_a_batch_is_submitted_once(
    start_service: StartService, database_url: str, sandbox: httpx2.Client, picture: bytes, case: str
) -> None:
    services = [start_service(database_url=database_url) for _ in range(2)]
    asked = {"requests": [{"custom_id": name, "params": body("/v1/messages", picture)} for name in "ab"]}
    by_case = {"x_vision_proxy_sandbox_case": case}

    first = ask(services[0], "/v1/messages/batches", asked, "one", **by_case)
    again = ask(services[1], "/v1/messages/batches", asked, "one", **by_case)
    other = ask(services[1], "/v1/messages/batches", {"requests": asked["requests"][:1]}, "one", **by_case)

    assert (is_replay(first), is_replay(again)) == (False, True)
    assert again.content == first.content
    assert told(other) == (409, "idempotency_conflict")
    assert len(visits(sandbox, case)) == 1
    assert len(services[0].get("/v1/usage/requests").json()["requests"]) == 1


def test_a_batch_that_was_refused_leaves_the_key_free(service: httpx2.Client, picture: bytes, case: str) -> None:
    asked = {"requests": [{"custom_id": "a", "params": body("/v1/messages", picture)}]}
    headers = {"x_vision_proxy_sandbox_case": case, "x_vision_proxy_sandbox_fault": "400-spend; times=1"}

    first, again = (ask(service, "/v1/messages/batches", asked, case, **headers) for _ in range(2))

    assert (first.status_code, again.status_code) == (400, 200)
    assert not is_replay(again)


def test_of_many_at_once_on_two_processes_one_is_answered(
    start_service: StartService, database_url: str, sandbox: httpx2.Client, picture: bytes, case: str
) -> None:
    services = [start_service(database_url=database_url) for _ in range(2)]
    asked = body("/v1/messages", picture)
    headers = {"x_vision_proxy_sandbox_case": case, "x_vision_proxy_sandbox_fault": "slow=0.5"}

    with ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(ask, services[n % 2], "/v1/messages", asked, "one", **headers) for n in range(8)]
        answers = [one.result() for one in sent]

    assert len(visits(sandbox, case)) == 1
    good = [answer for answer in answers if answer.status_code == 200]
    assert [is_replay(answer) for answer in good].count(False) == 1
    assert len({answer.content for answer in good}) == 1
    refused = {(*told(answer), answer.headers["retry-after"]) for answer in answers if answer.status_code != 200}
    assert refused <= {(409, "idempotency_in_progress", "1")}


@ENDPOINTS
def test_a_key_is_free_again_when_the_client_leaves_its_stream(
    service: httpx2.Client, picture: bytes, path: str, case: str
) -> None:
    asked = body(path, picture, stream=True)
    headers = {"idempotency-key": case, "x-vision-proxy-sandbox-fault": "drip=10"}
    with service.stream("POST", path, json=asked, headers=headers) as response:
        pieces = response.iter_bytes()  # to let go of it is to leave
        next(pieces)
        meanwhile = ask(service, path, asked, case, x_vision_proxy_sandbox_fault="drip=10")
    assert (*told(meanwhile), meanwhile.headers["retry-after"]) == (409, "idempotency_in_progress", "1")

    response = until_free(service, path, body(path, picture), case)

    assert not is_replay(response)


@ENDPOINTS
@pytest.mark.parametrize(("fault", "status"), [("529", 529), ("400-spend", 400), ("slow=45", 504)])
def test_what_was_not_answered_may_be_asked_again(
    start_service: StartService, picture: bytes, path: str, fault: str, status: int
) -> None:
    service = start_service(upstream_timeout_s=0.5, upstream_max_retries=0)
    asked = body(path, picture)

    failed = ask(service, path, asked, "one", x_vision_proxy_sandbox_fault=fault)
    answers = [ask(service, path, asked, "one") for _ in range(2)]

    assert failed.status_code == status
    assert [is_replay(answer) for answer in answers] == [False, True]


@ENDPOINTS
@pytest.mark.parametrize("fault", ["cut", "error-event"])
def test_a_stream_that_broke_may_be_asked_again(
    service: httpx2.Client, picture: bytes, path: str, fault: str, case: str
) -> None:
    asked = body(path, picture, stream=True)

    broken = ask(service, path, asked, case, x_vision_proxy_sandbox_fault=fault)
    answer = until_free(service, path, asked, case)

    assert "event: error" in broken.text
    assert not is_replay(answer)


def test_what_was_refused_before_spending_leaves_the_key_free(
    service: httpx2.Client, picture: bytes, case: str
) -> None:
    asked = body("/v1/analyze", picture)

    refused = ask(service, "/v1/analyze", {**asked, "max_cost_usd": 0.000001}, case)
    answer = ask(service, "/v1/analyze", asked, case)

    assert told(refused) == (402, "max_cost_exceeded")
    assert not is_replay(answer)


def test_the_same_key_for_anything_else_is_a_conflict(service: httpx2.Client, picture: bytes, case: str) -> None:
    asked = body("/v1/messages", picture)
    ask(service, "/v1/messages", asked, case).raise_for_status()

    others = [
        ask(service, "/v1/messages", {**asked, "max_tokens": 21}, case),
        ask(service, "/v1/messages?beta=true", asked, case),
        ask(service, "/v1/messages", asked, case, x_vision_proxy_report="full"),
        ask(service, "/v1/messages", asked, case, anthropic_beta="context-1m-2025-08-07"),
        ask(service, "/v1/analyze", asked, case),
    ]

    assert [told(other) for other in others] == [(409, "idempotency_conflict")] * len(others)
    assert {other.json()["error"]["type"] for other in others} == {"conflict_error"}
    assert {other.headers["x-should-retry"] for other in others} == {"false"}
    assert not is_replay(ask(service, "/v1/messages", asked, f"{case}-2"))


def test_a_body_is_the_same_however_it_is_compressed(service: httpx2.Client, picture: bytes, case: str) -> None:
    asked = json.dumps(body("/v1/messages", picture)).encode()
    headers = {"idempotency-key": case, "content-type": "application/json"}

    service.post("/v1/messages", content=asked, headers=headers).raise_for_status()
    again = service.post("/v1/messages", content=gzip.compress(asked), headers={**headers, "content-encoding": "gzip"})

    assert is_replay(again)


def form(boundary: str, *files: tuple[str, bytes], media_type: str = "image/jpeg") -> bytes:
    """A form of those files, in order."""
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="image"; filename="{name}"\r\n'
        f"content-type: {media_type}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def test_a_form_is_known_by_its_parts_not_by_its_boundary(service: httpx2.Client, photo: Maker, case: str) -> None:
    one, two = ("1.jpg", photo(64, 48)), ("2.jpg", photo(48, 64))

    def send(boundary: str, *files: tuple[str, bytes], media_type: str = "image/jpeg") -> httpx2.Response:
        headers = {"idempotency-key": case, "content-type": f"multipart/form-data; boundary={boundary}"}
        content = form(boundary, *files, media_type=media_type)
        return service.post("/v1/analyze", content=content, headers=headers)

    first, again = send("first", one, two), send("second", one, two)
    others = [
        send("first", two, one),
        send("first", one),
        send("first", one, ("3.jpg", two[1])),
        send("first", one, ("2.jpg", two[1] + b"\0")),
        send("first", one, two, media_type="image/png"),
    ]

    assert (is_replay(first), is_replay(again)) == (False, True)
    assert again.content == first.content
    assert [told(other) for other in others] == [(409, "idempotency_conflict")] * len(others)


def test_after_a_day_the_key_is_free_again(
    start_service: StartService, database_url: str, clock: MovableClock, picture: bytes
) -> None:
    service = start_service(database_url=database_url, clock=clock)
    asked = body("/v1/analyze", picture)
    first = ask(service, "/v1/analyze", asked, "one")

    clock.move(DAY_S - 1)
    within = ask(service, "/v1/analyze", asked, "one")
    clock.move(1)
    after = ask(service, "/v1/analyze", asked, "one")

    assert [is_replay(answer) for answer in (first, within, after)] == [False, True, False]
    assert after.json()["id"] != first.json()["id"]


def test_nobody_else_gets_the_answer(quick: httpx2.Client, picture: bytes) -> None:
    admin = {"x-api-key": ADMIN}
    keys = [quick.post("/v1/keys", json={"name": "app"}, headers=admin).json()["key"] for _ in range(2)]
    tokens = [
        quick.post("/v1/tokens", json={"ttl_s": 60}, headers={"x-api-key": keys[0]}).json()["token"] for _ in range(2)
    ]
    asked = body("/v1/messages", picture)

    answers = [ask(quick, "/v1/messages", asked, "one", x_api_key=secret) for secret in (*keys, *tokens)]
    again = [ask(quick, "/v1/messages", asked, "one", x_api_key=secret) for secret in (*keys, *tokens)]

    assert [is_replay(answer) for answer in (*answers, *again)] == [False] * 4 + [True] * 4
    assert len({answer.json()["id"] for answer in answers}) == 4
    assert [answer.content for answer in again] == [answer.content for answer in answers]


def test_a_repeat_counts_against_no_limit(quick: httpx2.Client, picture: bytes) -> None:
    limits = {"name": "app", "requests_per_minute": 1, "images_per_minute": 1}
    key = quick.post("/v1/keys", json=limits, headers={"x-api-key": ADMIN}).json()["key"]
    token = quick.post("/v1/tokens", json={"ttl_s": 60, "requests": 1}, headers={"x-api-key": key}).json()["token"]
    asked = body("/v1/analyze", picture)

    first = ask(quick, "/v1/analyze", asked, "one", x_api_key=token)
    again = [ask(quick, "/v1/analyze", asked, "one", x_api_key=token) for _ in range(3)]

    assert [is_replay(answer) for answer in (first, *again)] == [False, True, True, True]
    assert "x-ratelimit-remaining-requests" in first.headers
    assert "x-ratelimit-remaining-requests" not in again[0].headers
    assert ask(quick, "/v1/analyze", asked, "two", x_api_key=token).status_code == 429


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"tab\there", "schlüssel".encode(), b"\xff"])
def test_a_key_that_is_none_is_refused(service: httpx2.Client, key: bytes) -> None:
    response = service.post("/v1/messages", json={}, headers=[(b"idempotency-key", key)])

    assert told(response) == (400, "invalid_request")
    assert "1 to 255" in response.json()["error"]["message"]


def test_two_keys_are_refused(service: httpx2.Client) -> None:
    response = service.post("/v1/messages", json={}, headers=[("idempotency-key", "a"), ("idempotency-key", "b")])

    assert told(response) == (400, "invalid_request")


def test_the_longest_key_is_taken(service: httpx2.Client, picture: bytes, case: str) -> None:
    key = case.ljust(255, "~")

    answers = [ask(service, "/v1/messages", body("/v1/messages", picture), key) for _ in range(2)]

    assert [is_replay(answer) for answer in answers] == [False, True]


def long_message(*, stream: bool) -> bytes:
    """An answer of the vendor's of 17 million letters."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    message: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "model": MODEL, "usage": usage}
    text = "x" * 1_000_000
    if not stream:
        return json.dumps({**message, "content": [{"type": "text", "text": text * 17}]}).encode()
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "content": []}},
        start,
        *[delta] * 17,
    ]
    events += [{"type": "content_block_stop", "index": 0}, {"type": "message_stop"}]
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_too_long_to_keep_is_not_paid_for_twice(
    start_service: StartService, scripted: Callable[..., str], picture: bytes, *, stream: bool
) -> None:
    media_type = "text/event-stream" if stream else "application/json"
    service = start_service(scripted(long_message(stream=stream), content_type=media_type))
    asked = body("/v1/messages", picture, stream=stream)

    first = ask(service, "/v1/messages", asked, "one")
    while (again := ask(service, "/v1/messages", asked, "one")).headers.get("retry-after"):
        pass  # it is settled right behind its last byte

    assert first.status_code == 200
    assert told(again) == (409, "idempotency_conflict")
    assert again.json()["error"]["details"]["limit"] == 16 * 1024 * 1024
    assert service.get("/v1/usage").json()["total"]["requests"] == 1


class Later:
    """A clock that is ahead by more than a dead process may be silent."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(minutes=5)

    def monotonic(self) -> float:
        return 0.0


def test_a_key_whose_process_was_killed_is_free_again(
    start_service: StartService, sandbox_url: str, tmp_path: Path, picture: bytes
) -> None:
    database_url = f"sqlite+aiosqlite:///{tmp_path}/killed.db"
    asked = body("/v1/messages", picture, stream=True)
    headers = {"idempotency-key": "one", "x-vision-proxy-sandbox-fault": "drip=10"}
    with (
        running_service(sandbox_url, database_url=database_url, image_workers=1) as killed,
        killed.client.stream("POST", "/v1/messages", json=asked, headers=headers) as begun,
    ):
        pieces = begun.iter_bytes()  # to let go of it is to leave
        next(pieces)
        other = start_service(database_url=database_url)
        while_alive = ask(other, "/v1/messages", asked, "one", x_vision_proxy_sandbox_fault="drip=10")
        os.kill(killed.pid, signal.SIGKILL)
        with suppress(httpx2.HTTPError):
            list(pieces)

    answer = ask(start_service(database_url=database_url, clock=Later()), "/v1/messages", asked, "one")

    assert told(while_alive) == (409, "idempotency_in_progress")
    assert not is_replay(answer)
