"""POST /v1/analyze with stream=true: the events, their order, what they hold, and what a failure looks like."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of every event."""
    found: list[tuple[str, dict[str, Any]]] = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def ask(service: httpx2.Client, picture: bytes, *, fault: str = "", case: str = "", **fields: str) -> httpx2.Response:
    headers = {"x-vision-proxy-sandbox-fault": fault, "x-vision-proxy-sandbox-case": case} if fault else {}
    files = {"image": ("a.jpg", picture)}
    return service.post("/v1/analyze", files=files, data={"stream": "true", **fields}, headers=headers)


def test_images_come_first_then_text_then_the_whole_answer(service: httpx2.Client, photo: Maker) -> None:
    response = ask(service, photo(64, 48))

    events = events_of(response.text)
    names = [name for name, _ in events]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert (names[0], names[-1]) == ("images", "done")
    assert len(names) > 4
    assert set(names[1:-1]) == {"text"}


def test_the_pieces_of_text_make_up_the_text_of_the_answer(service: httpx2.Client, photo: Maker) -> None:
    events = events_of(ask(service, photo(64, 48)).text)

    pieces = [data["text"] for name, data in events if name == "text"]
    assert "".join(pieces) == events[-1][1]["text"]


def test_a_streamed_answer_equals_the_same_answer_unstreamed(service: httpx2.Client, photo: Maker) -> None:
    picture = photo(640, 480)
    streamed = events_of(ask(service, picture, thinking='{"type": "adaptive"}').text)[-1][1]
    plain = service.post(
        "/v1/analyze", files={"image": ("a.jpg", picture)}, data={"thinking": '{"type": "adaptive"}'}
    ).json()

    own = {"id", "request_id", "upstream_request_id", "timing_ms", "content"}
    assert {key: value for key, value in streamed.items() if key not in own} == {
        key: value for key, value in plain.items() if key not in own
    }
    assert [block["type"] for block in streamed["content"]] == ["thinking"]


def test_the_report_in_the_first_event_is_that_of_the_answer_but_for_the_price(
    service: httpx2.Client, photo: Maker
) -> None:
    events = events_of(ask(service, photo(64, 48)).text)

    [early], [late] = events[0][1]["images"], events[-1][1]["images"]
    assert {**early, "cost_usd": late["cost_usd"]} == late
    assert early["cost_usd"] is None


def test_a_refusal_before_the_stream_keeps_its_status(service: httpx2.Client, photo: Maker) -> None:
    response = ask(service, photo(64, 48), fault="400-spend")

    assert response.status_code == 400
    assert response.json()["error"]["details"]["error_code"] == "upstream_error"


def test_an_error_inside_the_stream_is_an_event_with_what_was_billed(service: httpx2.Client, photo: Maker) -> None:
    response = ask(service, photo(64, 48), fault="error-event")

    name, data = events_of(response.text)[-1]
    assert response.status_code == 200
    assert (name, data["type"]) == ("error", "error")
    assert data["error"]["type"] == "overloaded_error"
    assert data["error"]["details"]["error_code"] == "upstream_error"
    assert data["error"]["details"]["usage"]["input_tokens"] > 0
    assert data["error"]["details"]["cost_usd"] > 0


@pytest.mark.parametrize("fault", ["cut", "garbage"])
def test_a_stream_that_breaks_ends_with_an_error_event(service: httpx2.Client, photo: Maker, fault: str) -> None:
    response = ask(service, photo(64, 48), fault=fault)

    name, data = events_of(response.text)[-1]
    assert name == "error"
    assert data["error"]["details"]["error_code"] in {"upstream_unreachable", "upstream_error"}
    assert "done" not in [name for name, _ in events_of(response.text)]


def test_a_silent_stream_ends_with_a_timeout_event(start_service: StartService, photo: Maker) -> None:
    service = start_service(upstream_idle_timeout_s=0.3)
    response = ask(service, photo(64, 48), fault="drip=20")

    name, data = events_of(response.text)[-1]
    assert (name, data["error"]["type"]) == ("error", "timeout_error")
    assert data["error"]["details"]["error_code"] == "upstream_timeout"
    assert "silent for 0.3 s" in data["error"]["message"]


def test_comments_keep_a_quiet_stream_alive(start_service: StartService, photo: Maker) -> None:
    response = ask(start_service(stream_keep_alive_s=0.05), photo(64, 48), fault="drip=0.2", max_tokens="20")

    assert ": keep-alive\n\n" in response.text
    assert events_of(response.text)[-1][0] == "done"


@pytest.mark.parametrize("drop_in", [False, True])
def test_an_event_without_end_is_given_up_at_the_limit(
    start_service: StartService, scripted: Callable[..., str], photo: Maker, drop_in: bool
) -> None:
    service = start_service(scripted(b"data: " + b"x" * 17_000_000, content_type="text/event-stream"))
    message = {"role": "user", "content": "hi"}
    body = {"model": "claude-sonnet-5-5", "max_tokens": 9, "stream": True, "messages": [message]}

    response = service.post("/v1/messages", json=body) if drop_in else ask(service, photo(64, 48))

    name, data = events_of(response.text)[-1]
    assert name == "error"
    assert data["error"]["message"] == "an event of the Claude API is over 16000000 bytes, the limit"
