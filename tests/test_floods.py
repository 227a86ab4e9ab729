"""Much at once: thousands of chunks, parts, members, requests; answers that unpack to a hundred times what came."""

import asyncio
import base64
import gzip
import json
import socket
from collections.abc import Callable, Generator, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from app.web.turns import turns_of
from tests.conftest import Serve
from tests.processes import Running, running_service

StartService = Callable[..., httpx2.Client]
Maker = Callable[..., bytes]

ASK = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def serving() -> Generator[Running]:
    with running_service(image_workers=1) as service:
        yield service


def answered(service: Running, sent: bytes) -> bytes:
    """What comes back until the service closes the connection."""
    address = urlsplit(str(service.client.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received


def post(body: bytes, *headers: bytes) -> bytes:
    head = (b"POST /v1/estimate HTTP/1.1", b"host: localhost", b"content-type: application/json", *headers)
    return b"\r\n".join((*head, b"", body))


def message(response: httpx2.Response) -> str:
    assert response.status_code == 400
    return response.json()["error"]["message"]


def code_of(content: bytes) -> str:
    return json.loads(content)["error"]["details"]["error_code"]


def test_a_body_of_thousands_of_chunks_arrives_whole(serving: Running) -> None:
    body = json.dumps({"stray": "x" * 20_000}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"

    answer = answered(serving, post(chunks, b"transfer-encoding: chunked", b"connection: close"))

    assert code_of(answer.partition(b"\r\n\r\n")[2]) == "unknown_field"


def test_a_body_of_chunks_that_is_too_long_is_refused_where_it_passes_the_limit(start_service: StartService) -> None:
    service = start_service(max_body_bytes=100_000)

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 5_000

    response = service.post("/v1/messages", content=chunks(), headers=JSON)

    assert response.json()["error"]["message"] == "the body is longer than 100000 bytes; the limit is 100000 bytes"


def test_requests_that_come_at_once_on_a_connection_are_answered_one_after_the_other(serving: Running) -> None:
    asked = [post(b"%d" % number, b"content-length: 4") for number in range(1_000, 1_300)]
    last = post(b"{}", b"content-length: 2", b"connection: close")

    assert answered(serving, b"".join(asked) + last).count(b"HTTP/1.1 400 ") == 301


def test_one_thing_is_done_each_turn_and_everybody_else_has_his_between() -> None:
    done: list[str] = []

    async def crowd() -> None:
        loop = asyncio.get_running_loop()
        pieces = turns_of(loop).pieces
        for number in range(4):
            pieces.later(lambda number=number: done.append(f"piece {number}"))
        for number in range(4):
            done.append(f"turn {number}")
            await asyncio.sleep(0)

    asyncio.run(crowd())

    assert done == [f"{what} {number}" for number in range(4) for what in ("turn", "piece")]


def test_who_comes_first_need_not_wait_for_a_turn() -> None:
    done: list[int] = []

    async def two() -> list[int]:
        beginnings = turns_of(asyncio.get_running_loop()).beginnings
        beginnings.take(lambda: done.append(1))
        beginnings.take(lambda: done.append(2))
        return list(done)

    assert asyncio.run(two()) == [1]


def test_a_form_of_many_parts_is_read_as_one_of_few(service: httpx2.Client, photo: Maker) -> None:
    picture = b'content-disposition: form-data; name="image"; filename="a"\r\n\r\n' + photo(8, 8)
    stop = b'content-disposition: form-data; name="stop_sequences"\r\n\r\nx%d'
    parts = [picture, *(stop % number for number in range(900))]
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"

    response = service.post("/v1/estimate", content=body, headers={"content-type": "multipart/form-data; boundary=b"})

    assert response.status_code == 200


def members(count: int) -> bytes:
    return b"{" + b",".join(b'"k%d":1' % number for number in range(count)) + b"}"


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (members(20_000), "the JSON has more than 10000 members"),
        (b'{"messages":[' + members(600_000) + b"]}", "the JSON has more than 500000 members"),
        (b'{"system":[' + b"[]," * 1_000_000 + b"[]]}", "the JSON has more than 1000000 values"),
        (b'{"stop_sequences":[' + b"1," * 20_000 + b"1]}", "stop_sequences: more than 10000 items"),
        (b'{"images":[' + b"{}," * 20_000 + b"{}]}", "the JSON has more than 10000 pictures"),
        (b'{"file_id":[' + b'"",' * 20_000 + b'""]}', "the JSON has more than 10000 texts"),
    ],
    ids=["members", "members of a message", "values", "items", "pictures", "texts"],
)
def test_json_of_a_crowd_is_refused(service: httpx2.Client, photo: Maker, body: bytes, refusal: str) -> None:
    del photo

    assert message(service.post("/v1/analyze", content=body, headers=JSON)) == refusal


def test_a_batch_of_a_crowd_is_refused(service: httpx2.Client) -> None:
    body = b'{"requests":[' + b"0," * 200_000 + b"0]}"

    assert message(service.post("/v1/messages/batches", content=body, headers=JSON)) == (
        "the JSON has more than 100000 items"
    )


def test_thousands_of_messages_with_a_picture_among_them_go_on_as_they_were(
    serve: Serve, start_service: StartService, photo: Maker
) -> None:
    """Taken apart member by member, for there are many."""
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(photo(8, 8)).decode()}
    picture = {"type": "image", "source": source}
    turns = [{"role": "user", "content": [{"type": "text", "text": str(number)}]} for number in range(3_000)]
    body = {**ASK, "messages": [*turns, {"role": "user", "content": [picture]}]}
    received = bytearray()

    async def vendor(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            while (event := await receive()).get("body") or event.get("more_body"):
                received.extend(event["body"])
                if not event["more_body"]:
                    break
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"{}"})

    with serve(vendor) as url:
        start_service(url).post("/v1/messages", json=body)

    assert json.loads(received)["messages"][:-1] == turns


def test_base64_of_millions_of_lines_is_read(service: httpx2.Client, photo: Maker) -> None:
    data = "\n".join(base64.b64encode(photo(64, 64)).decode())

    assert service.post("/v1/estimate", json={"images": [{"data": data}]}).status_code == 200


BOMB = gzip.compress(b" " * 100_000_000)


def test_an_answer_that_unpacks_to_a_hundred_times_its_size_is_refused(
    scripted: Callable[..., str], start_service: StartService
) -> None:
    service = start_service(scripted(BOMB, content_encoding="gzip"), upstream_max_retries=0)

    response = service.post("/v1/messages", json=ASK)

    assert response.status_code == 502
    assert response.json()["error"]["message"] == (
        "the packed answer of the Claude API is over 8000000 bytes, the limit"
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_that_unpacks_to_megabytes_is_read_no_further(
    scripted: Callable[..., str], start_service: StartService, stream: bool
) -> None:
    service = start_service(scripted(BOMB, 400, content_encoding="gzip"), upstream_max_retries=0)

    response = service.post("/v1/messages", json={**ASK, "stream": stream})

    assert (response.status_code, code_of(response.content)) == (502, "upstream_unreachable")


def test_a_packed_refusal_reaches_the_client_as_it_was_said(
    scripted: Callable[..., str], start_service: StartService
) -> None:
    said = b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}'
    url = scripted(gzip.compress(said), 400, content_encoding="gzip", content_type="application/json")

    response = start_service(url).post("/v1/messages", json=ASK)

    assert (response.status_code, response.content) == (400, said)


EVENTS = (
    b'event: message_start\r\ndata: {"type":"message_start","message":{}}\r\n\r\n'
    b": nothing\n\n"
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,\n'
    b'data: "content_block":{"type":"text","text":"hello"}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


@pytest.mark.parametrize("pack", [False, True])
def test_events_end_at_blank_lines_of_either_kind(
    scripted: Callable[..., str], start_service: StartService, photo: Maker, pack: bool
) -> None:
    headers = {"content_type": "text/event-stream", **({"content_encoding": "gzip"} if pack else {})}
    service = start_service(scripted(gzip.compress(EVENTS) if pack else EVENTS, **headers))

    answer = service.post("/v1/analyze", files={"image": ("a.jpg", photo(8, 8))}, data={"stream": "true"})

    assert "hello" in answer.text
    assert "event: error" not in answer.text


Asked = Callable[[Maker], dict[str, Any]]


def plain(photo: Maker) -> dict[str, Any]:
    del photo
    return ASK


def native(photo: Maker) -> dict[str, Any]:
    return {"images": [{"data": base64.b64encode(photo(8, 8)).decode()}]}


@pytest.mark.parametrize(
    "events", [b"event: text\ndata: " + b"y" * 17_000_000, b"event: text\n" + b"data:\n" * 20_000 + b"\n"]
)
@pytest.mark.parametrize(("path", "asked"), [("/v1/messages", plain), ("/v1/analyze", native)])
def test_an_event_without_measure_ends_the_stream(
    scripted: Callable[..., str], start_service: StartService, photo: Maker, events: bytes, path: str, asked: Asked
) -> None:
    service = start_service(scripted(events, content_type="text/event-stream"))

    answer = service.post(path, json={**asked(photo), "stream": True})

    assert "an event of the Claude API " in answer.text
