"""What comes before a body is bounded, in size and in time to come, on the service as it is served."""

import json
import socket
from collections.abc import Generator
from threading import Thread
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.web.connections import MAX_HEAD_BYTES, Connection
from tests.processes import Running, running_service


@pytest.fixture(scope="module")
def serving() -> Generator[Running]:
    with running_service(image_workers=1) as service:
        yield service


def answered(service: Running, sent: bytes) -> bytes:
    """What comes back until the service closes the connection."""
    address = urlsplit(str(service.client.base_url))
    return answered_at((address.hostname, address.port), sent)


def answered_at(address: tuple[str | None, int | None], sent: bytes) -> bytes:
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received


def request(*headers: bytes) -> bytes:
    return b"\r\n".join((b"GET /livez HTTP/1.1", b"host: localhost", b"connection: close", *headers, b"\r\n"))


@pytest.mark.parametrize(
    "headers",
    [(b"x-endless: " + b"a" * MAX_HEAD_BYTES,), (b"x-many: a",) * (MAX_HEAD_BYTES // 11)],
    ids=["one header", "many headers"],
)
def test_headers_without_end_are_refused_and_read_no_further(serving: Running, headers: tuple[bytes, ...]) -> None:
    head, _, content = answered(serving, request(*headers)[:-4]).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(content)["error"] == {
        "type": "invalid_request_error",
        "message": "the request line and headers are over 65536 bytes, the limit",
        "details": {"error_code": "invalid_request", "limit": 65_536},
    }


def test_headers_within_the_limit_are_read(serving: Running) -> None:
    assert answered(serving, request(b"x-large: " + b"a" * 40_000)).startswith(b"HTTP/1.1 200 ")


def test_each_request_of_a_connection_has_the_limit_to_itself(serving: Running) -> None:
    large = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-large: " + b"a" * 40_000 + b"\r\n\r\n"

    assert answered(serving, large * 3 + request()).count(b"HTTP/1.1 200 ") == 4


class Hasty(Connection):
    head_timeout_s = 0.05


@pytest.mark.parametrize(
    "sent", [b"", b"GET /livez HTTP/1.1\r\nhost", request()[:-2]], ids=["nothing", "a word", "all but"]
)
def test_who_does_not_come_to_the_point_is_let_go(sent: bytes) -> None:
    config = uvicorn.Config(nothing, http=Hasty, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        received = answered_at(listener.getsockname(), sent)
        server.should_exit = True
        thread.join(10)

    assert received == b""


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that nobody reaches."""
    raise AssertionError((scope, receive, send))
