"""A client that leaves stops the call to the Claude API, streamed or not."""

import base64
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import httpx2
import pytest

Maker = Callable[..., bytes]


def visit_of(sandbox: httpx2.Client, case: str) -> dict[str, object]:
    """What the sandbox noted of this test's request, once no request is in progress there."""
    journal = sandbox.get("/sandbox/journal", params={"settled": "true"}).json()
    return next(visit for visit in journal if visit["headers"].get("x-vision-proxy-sandbox-case") == case)


def test_a_client_that_leaves_cancels_the_upstream_call(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    headers = {"x-vision-proxy-sandbox-fault": "slow=45", "x-vision-proxy-sandbox-case": case}
    with suppress(httpx2.ReadTimeout):
        service.post("/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}, headers=headers, timeout=1)

    began = time.monotonic()
    visit = visit_of(sandbox, case)
    assert visit["disconnected"] is True
    assert time.monotonic() - began < 30  # far below the 45 s that the sandbox would have taken


def test_a_client_that_leaves_a_stream_closes_the_upstream_stream(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    headers = {"x-vision-proxy-sandbox-fault": "drip=10", "x-vision-proxy-sandbox-case": case}
    files = {"image": ("a.jpg", photo(64, 48))}
    with service.stream("POST", "/v1/analyze", files=files, data={"stream": "true"}, headers=headers) as response:
        assert next(response.iter_bytes()).startswith(b"event: images")

    assert visit_of(sandbox, case)["disconnected"] is True


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/messages"])
def test_what_was_billed_before_a_client_left_is_priced_and_recorded(
    service: httpx2.Client,
    sandbox: httpx2.Client,
    photo: Maker,
    case: str,
    path: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "app.web.event_stream")
    headers = {"x-vision-proxy-sandbox-fault": "drip=10", "x-vision-proxy-sandbox-case": case}
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(photo(64, 48)).decode()}
    turns = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    body: dict[str, object] = {"messages": turns, "stream": True}
    if path == "/v1/messages":
        body |= {"model": "claude-sonnet-5-5", "max_tokens": 99}
    with service.stream("POST", path, json=body, headers=headers) as response:
        request_id = response.headers["x-vision-proxy-request-id"]
        next(response.iter_bytes())

    visit_of(sandbox, case)
    records: list[str] = []
    for _ in range(500):  # the upstream stream is closed a moment before the line is written
        service.get("/livez")
        records = [text for text in caplog.messages if request_id in text]
        if records:
            break
    assert ["ended early; billed by then: " in record for record in records] == [True]


@pytest.mark.parametrize("sent", [b'{"images": [', b""])
def test_a_client_that_leaves_before_its_body_is_complete_harms_nothing(service: httpx2.Client, sent: bytes) -> None:
    host, port = service.base_url.host, service.base_url.port
    assert port is not None
    with socket.create_connection((host, port)) as connection:
        head = b"POST /v1/analyze HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
        connection.sendall(head + sent)

    assert service.get("/livez").status_code == 200
