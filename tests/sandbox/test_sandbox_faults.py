"""Faults on request, and what the journal keeps of them."""

import logging
from hashlib import sha256
from uuid import uuid4

import anthropic
import httpx2
import pytest

from app.domain import Json
from app.sandbox import sandbox_in_thread
from tests.sandbox.pictures import MODEL, Answer, image_block, message_body, padded_png, picture, text_block

HELLO = message_body(text_block("hello"))
RATE = "This request would exceed the rate limit for your organization of 2000000 input tokens per minute."


def ask(client: httpx2.Client, fault: str, *, case: str = "", **fields: Json) -> httpx2.Response:
    return client.post("/v1/messages", json={**HELLO, **fields}, headers=faulty(fault, case))


def faulty(fault: str, case: str = "") -> dict[str, str]:
    return {"x-vision-proxy-sandbox-fault": fault, "x-vision-proxy-sandbox-case": case}


def last_visit(client: httpx2.Client) -> Answer:
    return client.get("/sandbox/journal", params={"settled": "true"}).json()[-1]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("403", (403, "permission_error", "Your API key does not have permission to use the specified resource.")),
        ("408", (408, "timeout_error", "Request timed out")),
        ("409", (409, "conflict_error", "The request conflicts with another one in progress")),
        ("429", (429, "rate_limit_error", RATE)),
        ("500", (500, "api_error", "Internal server error")),
        ("504", (504, "timeout_error", "Request timed out")),
        ("529", (529, "overloaded_error", "Overloaded")),
        (
            "400-spend",
            (
                400,
                "invalid_request_error",
                "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
            ),
        ),
    ],
)
def test_an_error_is_answered_on_request(
    client: httpx2.Client, fault: str, expected: tuple[int, str, str], *, stream: bool
) -> None:
    answer = ask(client, fault, stream=stream)

    status, error_type, message = expected
    assert (answer.status_code, answer.json()["error"]) == (status, {"type": error_type, "message": message})
    assert "retry-after" not in answer.headers


def test_retry_after_is_sent_where_it_is_asked_for(client: httpx2.Client) -> None:
    assert ask(client, "429; retry-after=1").headers["retry-after"] == "1"


def test_the_spend_cap_has_its_error_code_and_no_retry_after(client: httpx2.Client) -> None:
    answer = ask(client, "429-spend")

    assert (answer.status_code, answer.json()["error"]["details"]) == (
        429,
        {"error_code": "enforced_spend_limit_reached"},
    )
    assert "retry-after" not in answer.headers


def test_dimensions_names_the_first_picture(client: httpx2.Client) -> None:
    body = message_body(text_block("x"), image_block(picture(9, 9)), image_block(picture(9, 9)))

    answer = client.post("/v1/messages", json=body, headers=faulty("dimensions"))

    assert (answer.status_code, answer.json()["error"]["details"]) == (
        400,
        {
            "error_code": "image_dimensions_too_large",
            "max_side_length_pixels": 2000,
            "paths": ["messages.0.content.1"],
        },
    )


def test_dimensions_with_a_number_names_every_picture_with_a_longer_side(client: httpx2.Client) -> None:
    wide, tall, fits = (image_block(picture(*size)) for size in ((1001, 1), (1, 1001), (1000, 1000)))
    nested: Json = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [fits, tall]}

    answer = client.post("/v1/messages", json=message_body(fits, wide, nested), headers=faulty("dimensions=1000"))

    assert (answer.status_code, answer.json()["error"]) == (
        400,
        {
            "type": "invalid_request_error",
            "message": "messages.0.content.1.image.source.base64.data: At least one of the image dimensions exceed max "
            "allowed size for many-image requests: 1000 pixels",
            "details": {
                "error_code": "image_dimensions_too_large",
                "max_side_length_pixels": 1000,
                "paths": ["messages.0.content.1", "messages.0.content.2.content.1"],
            },
        },
    )


def test_bytes_refuses_the_first_picture_over_5_mb_with_its_length(client: httpx2.Client) -> None:
    body = message_body(
        image_block(picture(9, 9)), image_block(padded_png(3_932_161)), image_block(padded_png(4_000_000))
    )

    answer = client.post("/v1/messages", json=body, headers=faulty("bytes"))

    assert (answer.status_code, answer.json()["error"]) == (
        400,
        {
            "type": "invalid_request_error",
            "message": "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 5242884 bytes > 5242880 "
            "bytes",
        },
    )


@pytest.mark.parametrize("fault", ["dimensions=1000", "bytes", "hold"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_request_whose_pictures_keep_to_the_figure_passes(client: httpx2.Client, path: str, fault: str) -> None:
    blocks = image_block(picture(1000, 1000)), image_block(padded_png(3_932_160))
    body = {name: value for name, value in message_body(*blocks).items() if "count" not in path or name != "max_tokens"}

    assert client.post(path, json=body, headers=faulty(fault)).status_code == 200


@pytest.mark.parametrize(
    ("fault", "stream", "words"),
    [
        ("cut", False, "peer closed connection"),
        ("cut", True, "incomplete chunked read"),
        ("cut-before", False, "without sending a response"),
        ("cut-before", True, "without sending a response"),
    ],
)
def test_a_connection_is_closed_where_it_is_asked_for(
    client: httpx2.Client, fault: str, words: str, *, stream: bool
) -> None:
    with pytest.raises(httpx2.RemoteProtocolError, match=words):
        ask(client, fault, stream=stream)

    assert last_visit(client)["disconnected"] is False


def test_a_stream_that_is_cut_has_begun_and_not_ended(client: httpx2.Client) -> None:
    received: list[bytes] = []
    headers = faulty("cut")

    with client.stream("POST", "/v1/messages", json={**HELLO, "stream": True}, headers=headers) as answer:
        with pytest.raises(httpx2.RemoteProtocolError):
            received.extend(answer.iter_bytes())
        stream = b"".join(received)

    assert stream.count(b"event: content_block_delta\n") == 2
    assert b"message_stop" not in stream


@pytest.mark.parametrize("stream", [False, True])
def test_garbage_is_200_and_neither_json_nor_events(client: httpx2.Client, *, stream: bool) -> None:
    answer = ask(client, "garbage", stream=stream)

    assert (answer.status_code, answer.text[:6]) == (200, "<html>")
    assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")


def test_an_error_event_ends_a_stream_that_has_begun(client: httpx2.Client) -> None:
    answer = ask(client, "error-event", stream=True)

    assert answer.status_code == 200
    assert answer.text.endswith(
        'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},'
        f'"request_id":"{answer.headers["request-id"]}"}}\n\n'
    )


def test_an_error_event_without_a_stream_is_the_plain_error(client: httpx2.Client) -> None:
    assert ask(client, "error-event").status_code == 529
    assert last_visit(client)["billed"] is None


def test_a_slow_answer_and_a_dripping_stream_are_whole(client: httpx2.Client) -> None:
    answer = ask(client, "slow=0.001; drip=0.001", stream=True)

    assert "message_stop" in answer.text


def test_a_fault_strikes_only_the_first_requests_of_its_case(client: httpx2.Client) -> None:
    case, other = uuid4().hex, uuid4().hex

    statuses = [ask(client, "529; times=2", case=name).status_code for name in (case, case, other, case, other, other)]

    assert statuses == [529, 529, 529, 200, 529, 200]


def test_the_official_sdk_gets_over_a_fault_by_itself(sandbox_url: str) -> None:
    headers = faulty("429; retry-after=0.001; times=2", uuid4().hex)
    with anthropic.Anthropic(api_key="k", base_url=sandbox_url, max_retries=2, default_headers=headers) as sdk:
        message = sdk.messages.create(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "hello"}])

    assert message.id.startswith("msg_sandbox_")


@pytest.mark.parametrize(
    "fault",
    [
        "",
        "bogus",
        "429; 529",
        "slow",
        "slow=-1",
        "slow=nan",
        "times=x",
        "429=1",
        "429;",
        "dimensions=x",
        "dimensions=-1",
        "dimensions=",
        "dimensions=1; bytes",
        "bytes=1",
    ],
)
def test_a_fault_that_is_not_known_is_refused_with_those_that_are(client: httpx2.Client, fault: str) -> None:
    answer = ask(client, fault)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(
        "known are 400-spend, 400-grammar, 403, 408, 409, 429, 429-spend, 500, 504, 529, cut, cut-before, garbage, "
        "error-event, dimensions, bytes, hold, dimensions=PIXELS, slow=SECONDS, drip=SECONDS, retry-after=SECONDS, "
        "times=N, at most one of the first kind"
    )


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/models"), ("POST", "/v1/messages/count_tokens")])
def test_other_endpoints_fail_on_request_too(client: httpx2.Client, method: str, path: str) -> None:
    counting = {name: value for name, value in HELLO.items() if name != "max_tokens"}

    answer = client.request(method, path, json=counting if method == "POST" else None, headers=faulty("500"))

    assert answer.status_code == 500


def test_what_is_wrong_with_a_request_is_told_before_any_fault(client: httpx2.Client) -> None:
    assert ask(client, "529", max_tokens=0).status_code == 400


def test_the_journal_keeps_sizes_and_digests_and_no_key(client: httpx2.Client) -> None:
    png = picture(30, 20, orientation=6)
    body = message_body(text_block("a secret prompt"), image_block(png))
    headers = {"x-api-key": "a secret key", "anthropic-version": "2026-10-21", "x-other": "a secret value"}

    answer = client.post("/v1/messages", json=body, headers=headers)
    visit = last_visit(client)

    assert {name: visit[name] for name in visit if name not in ("headers", "header_names")} == {
        "request_id": answer.headers["request-id"],
        "method": "POST",
        "path": "/v1/messages",
        "credentials": {"x-api-key": f"sha256:{sha256(b'a secret key').hexdigest()[:12]}"},
        "body_bytes": len(answer.request.content),
        "model": MODEL,
        "stream": False,
        "fields": ["max_tokens", "messages", "model"],
        "images": [
            {
                "path": "messages.0.content.1",
                "media_type": "image/png",
                "width": 30,
                "height": 20,
                "size_bytes": len(png),
                "base64_chars": -(-len(png) // 3) * 4,
                "sha256": sha256(png).hexdigest(),
            }
        ],
        "billed": answer.json()["usage"],
        "status": 200,
        "disconnected": False,
    }
    assert visit["headers"]["anthropic-version"] == "2026-10-21"
    assert "x-other" in visit["header_names"]
    assert "secret" not in str(visit)


def test_the_journal_is_in_order_and_can_be_cleared(client: httpx2.Client) -> None:
    client.get("/v1/models")
    client.get("/nothing")

    paths = [(visit["path"], visit["status"]) for visit in client.get("/sandbox/journal").json()]
    cleared = client.delete("/sandbox/journal")

    assert paths == [("/v1/models", 200), ("/nothing", 404)]
    assert (cleared.status_code, client.get("/sandbox/journal").json()) == (204, [])


def test_a_client_that_leaves_a_stream_ends_its_work(client: httpx2.Client) -> None:
    with client.stream("POST", "/v1/messages", json={**HELLO, "stream": True}, headers=faulty("drip=3600")) as answer:
        next(answer.iter_bytes())

    visit = last_visit(client)
    assert (visit["status"], visit["disconnected"], visit["billed"]["output_tokens"]) == (200, True, 1)


def test_a_client_that_leaves_before_the_answer_ends_its_work(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        client.post("/v1/messages", json=HELLO, headers=faulty("slow=3600"), timeout=0.2)

    visit = last_visit(client)
    assert (visit["status"], visit["disconnected"], visit["billed"]) == (None, True, None)


def test_a_client_that_read_its_stream_to_the_end_did_not_leave(client: httpx2.Client) -> None:
    ask(client, "drip=0", stream=True)

    assert last_visit(client)["disconnected"] is False


def test_two_sandboxes_know_nothing_of_each_other(client: httpx2.Client) -> None:
    with sandbox_in_thread() as other_url:
        httpx2.get(f"{other_url}/v1/models", headers={"x-api-key": "k"})

        assert client.get("/sandbox/journal").json() == []


def test_a_sandbox_in_a_thread_leaves_the_logging_of_the_process_alone() -> None:
    loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error", "uvicorn.access")]
    before = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]

    with sandbox_in_thread():
        assert [(logger.level, logger.handlers, logger.propagate) for logger in loggers] == before


def test_a_sandbox_listens_only_as_long_as_its_block_lasts() -> None:
    with sandbox_in_thread() as url:
        assert httpx2.get(f"{url}/livez").text == "ok"

    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/livez")
