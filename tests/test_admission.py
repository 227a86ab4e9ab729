"""How much of the memory bodies may take, through the front door: who waits, who is refused, who never has to wait."""

import gc
import gzip
import json
import socket
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from app.domain import RawImage
from app.upstream.calls import Call
from app.upstream.pieces import Pieces
from tests.conftest import ADMIN, StartService
from tests.figures import Figures, figures_of, of

Maker = Callable[..., bytes]

BUDGET_BYTES = 400_000
KEY = {"x-api-key": ADMIN}


def padded(size_bytes: int) -> bytes:
    """A request without pictures of that size; it costs nothing to refuse."""
    frame = len(json.dumps({"prompt": ""}))
    return json.dumps({"prompt": "x" * (size_bytes - frame)}).encode()


def ask(client: httpx2.Client, content: bytes, **headers: str) -> httpx2.Response:
    return client.post("/v1/estimate", content=content, headers={"content-type": "application/json", **KEY, **headers})


@contextmanager
def half_sent(client: httpx2.Client, body: bytes, *framing: str) -> Generator[socket.socket]:
    """A connection whose request has taken the whole budget: the last bytes of its body are still to come."""
    port = client.base_url.port
    assert port is not None
    lines = ["POST /v1/estimate HTTP/1.1", "host: localhost", "content-type: application/json", f"x-api-key: {ADMIN}"]
    head = "\r\n".join([*lines, *(framing or [f"content-length: {len(body)}"]), "", ""]).encode()
    until(client, "memory_in_use_bytes", 0)  # it has come back from the request before
    with socket.create_connection((client.base_url.host, port)) as connection:
        connection.sendall(head + body[:-10])
        until(client, "memory_in_use_bytes", BUDGET_BYTES)
        yield connection


def until(client: httpx2.Client, name: str, wanted: float) -> Figures:
    """The figures once that one, of receiving, is what it should be."""
    for _ in range(2_000):
        figures = figures_of(client)
        if of(figures, name, use="receiving") == wanted:
            return figures
    pytest.fail(f"{name} was never {wanted}")


def answered(connection: socket.socket) -> bytes:
    """All that comes until the other side is done."""
    received = b""
    while b"request_id" not in received and (piece := connection.recv(65_536)):
        received += piece
    return received


def holds_bytes(thing: RawImage | Call) -> bool:
    if isinstance(thing, RawImage):
        return thing.held_bytes > 10_000
    body = thing.body
    return body is not None and (body.held_bytes if isinstance(body, Pieces) else len(body)) > 10_000


@pytest.fixture
def narrow(start_service: StartService) -> httpx2.Client:
    """A service with room for one body of 200 kB at a time, and little patience."""
    return start_service(body_memory_bytes=BUDGET_BYTES, admission_timeout_s=0.05, admin_key=ADMIN)


def test_a_body_without_room_is_refused_before_it_is_read_and_told_when_to_come_back(narrow: httpx2.Client) -> None:
    with half_sent(narrow, padded(200_000)):
        refused = ask(narrow, padded(70_000))

    assert refused.status_code == 429
    assert refused.json()["error"]["details"]["error_code"] == "busy"
    assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")


@pytest.mark.anyio
async def test_the_refusal_reaches_a_client_that_is_still_sending(narrow: httpx2.Client) -> None:
    large = padded(8_000_000)
    with half_sent(narrow, padded(200_000)):
        async with httpx2.AsyncClient(base_url=narrow.base_url, timeout=60) as client:
            refused = await client.post("/v1/estimate", content=large, headers=KEY)

    assert refused.status_code == 429


def test_operators_see_what_is_taken_who_waits_and_who_was_turned_away(start_service: StartService) -> None:
    settings = {"body_memory_bytes": BUDGET_BYTES, "sending_memory_bytes": 7_000_000, "admin_key": ADMIN}
    narrow, patient = start_service(**settings, admission_timeout_s=0.05), start_service(**settings)
    body = padded(200_000)
    with half_sent(narrow, body):
        ask(narrow, body)
        refused = figures_of(narrow)
    with half_sent(patient, body) as connection, ThreadPoolExecutor(1) as apart:
        second = apart.submit(ask, patient, body)
        waiting = until(patient, "memory_waiting", 1)
        connection.sendall(body[-10:])
        assert second.result().status_code == 400
    after = until(patient, "memory_in_use_bytes", 0)

    assert of(refused, "memory_refused_total", use="receiving") == of(refused, "refusals_total", error_code="busy") == 1
    assert of(waiting, "memory_in_use_bytes", use="receiving") == BUDGET_BYTES
    assert [of(waiting, "memory_budget_bytes", use=use) for use in ("receiving", "sending")] == [BUDGET_BYTES, 7e6]
    assert of(after, "memory_refused_total", use="receiving") == 0
    assert of(after, "step_seconds_count", step="admit") == 2


def test_once_the_first_is_done_the_next_is_let_in(narrow: httpx2.Client) -> None:
    body = padded(200_000)
    with half_sent(narrow, body) as connection:
        connection.sendall(body[-10:])
        first = answered(connection)

    assert first.startswith(b"HTTP/1.1 400")
    assert ask(narrow, padded(200_000)).json()["error"]["details"]["error_code"] == "no_image"


def test_who_leaves_half_way_leaves_room(narrow: httpx2.Client) -> None:
    with half_sent(narrow, padded(200_000)):
        pass
    statuses = {ask(narrow, padded(200_000)).status_code for _ in range(40)}

    assert 400 in statuses


def test_a_body_above_the_whole_budget_is_let_in_alone(narrow: httpx2.Client) -> None:
    large = padded(3 * BUDGET_BYTES)

    alone = ask(narrow, large)
    with half_sent(narrow, padded(200_000)):
        beside = ask(narrow, large)

    assert (alone.status_code, beside.status_code) == (400, 429)


def test_small_bodies_health_and_documentation_never_wait(narrow: httpx2.Client) -> None:
    with half_sent(narrow, padded(200_000)):
        small = ask(narrow, padded(60_000))
        paths = [narrow.get(path).status_code for path in ("/livez", "/readyz", "/docs", "/openapi.json")]

    assert (small.status_code, paths) == (400, [200] * 4)


def test_strangers_are_turned_away_before_they_could_wait(narrow: httpx2.Client) -> None:
    with half_sent(narrow, padded(200_000)):
        stranger = ask(narrow, padded(200_000), **{"x-api-key": "nobody-s-key-at-all"})

    assert stranger.status_code == 401


@pytest.mark.parametrize("large", [False, True])
def test_a_body_without_a_length_counts_as_far_as_it_has_come(narrow: httpx2.Client, large: bool) -> None:
    text = padded(3 * BUDGET_BYTES if large else 200_000)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text)
    with half_sent(narrow, chunked, "transfer-encoding: chunked") as connection:
        beside = ask(narrow, padded(200_000))
        connection.sendall(chunked[-10:])
        first = answered(connection)

    assert beside.status_code == 429
    assert first.startswith(b"HTTP/1.1 400")


def test_a_compressed_body_counts_with_what_it_becomes(narrow: httpx2.Client) -> None:
    packed = gzip.compress(json.dumps({"messages": [], "system": "x" * 3_000_000}).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json", **KEY}
    assert len(packed) < 60_000

    def count() -> int:
        return narrow.post("/v1/messages/count_tokens", content=packed, headers=headers).status_code

    alone = count()
    with half_sent(narrow, padded(200_000)):
        beside = count()

    assert (alone, beside) == (400, 429)


def test_a_body_that_trickles_in_is_given_up_and_leaves_room(start_service: StartService) -> None:
    service = start_service(
        body_memory_bytes=BUDGET_BYTES,
        admission_timeout_s=5,
        body_grace_s=0.3,
        body_least_bytes_per_s=10_000_000,
        admin_key=ADMIN,
    )
    port = service.base_url.port
    assert port is not None
    with socket.create_connection((service.base_url.host, port)) as connection:
        head = f"POST /v1/estimate HTTP/1.1\r\nhost: localhost\r\nx-api-key: {ADMIN}\r\ncontent-length: 200000\r\n\r\n"
        connection.sendall(head.encode() + b'{"prompt": "')
        answer = answered(connection)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"error_code":"body_too_slow"' in answer
    assert b"connection: close" in answer.lower()
    assert ask(service, padded(200_000)).status_code == 400


def test_a_stream_holds_no_picture_and_no_room(start_service: StartService, photo: Maker) -> None:
    service = start_service(body_memory_bytes=BUDGET_BYTES, sending_memory_bytes=BUDGET_BYTES, admission_timeout_s=0.05)
    upload = {"image": ("a.jpg", photo(900, 600, quality=95))}
    assert len(upload["image"][1]) > 150_000
    slow = {"x-vision-proxy-sandbox-fault": "drip=10"}
    with service.stream("POST", "/v1/analyze", files=upload, data={"stream": "true"}, headers=slow) as response:
        assert next(response.iter_bytes()).startswith(b"event: images")
        gc.collect()
        kept = [thing for thing in gc.get_objects() if isinstance(thing, RawImage | Call) and holds_bytes(thing)]
        beside = service.post("/v1/analyze", files=upload)

    assert (kept, beside.status_code) == ([], 200)


def test_what_waits_for_the_vendor_keeps_nobody_from_preparing_but_is_bounded_too(
    start_service: StartService, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    service = start_service(sending_memory_bytes=BUDGET_BYTES, admission_timeout_s=0.05)
    upload = {"image": ("a.jpg", photo(900, 600, quality=95))}
    headers = {"x-vision-proxy-sandbox-fault": "slow=4", "x-vision-proxy-sandbox-case": case}
    with ThreadPoolExecutor(1) as apart:
        first = apart.submit(httpx2.post, f"{service.base_url}/v1/analyze", files=upload, headers=headers, timeout=60)
        while case not in sandbox.get("/sandbox/journal").text:
            pass
        prepared = service.post("/v1/normalize", files=upload)
        refused = service.post("/v1/analyze", files=upload)

    assert (prepared.status_code, refused.status_code, first.result().status_code) == (200, 429, 200)
    assert refused.json()["error"]["details"]["error_code"] == "busy"
