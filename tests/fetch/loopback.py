"""A web server on this machine that says exactly the bytes it is told, and names that lead to it."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TypeAlias

import anyio
import pytest
from anyio.abc import AnyByteStream, SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener

from app.errors import ImageError
from app.fetch import Fetcher, FetchLimits, FetchPolicy

LOOPBACK = IPv4Address("127.0.0.1")
PICTURE = b"\x89PNG\r\n\x1a\n, or so it begins"
GIVE_UP_S = 30.0
"""How long a test that would hang may hang."""

Reply: TypeAlias = bytes | Callable[[AnyByteStream], Awaitable[None]]


@dataclass
class Asked:
    """One request as it came in."""

    target: str
    headers: dict[str, str]


@dataclass
class Server:
    """What was asked, in order, and where."""

    port: int
    asked: list[Asked] = field(default_factory=list)

    def url(self, path: str, host: str = "photos.test", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.asked]


@asynccontextmanager
async def serving(replies: Mapping[str, Reply], tls: ssl.SSLContext | None = None) -> AsyncGenerator[Server]:
    """A server that closes each connection after one reply, chosen by the path."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as plain, anyio.create_task_group() as tasks:
        server = Server(plain.extra(SocketAttribute.local_port))  # noqa: S610 - not Django's
        listener = TLSListener(plain, tls, standard_compatible=False) if tls else plain

        async def handle(stream: AnyByteStream) -> None:
            async with stream:
                request = await _read_request(stream)
                server.asked.append(request)
                reply = replies[request.target.partition("?")[0]]
                try:
                    await (stream.send(reply) if isinstance(reply, bytes) else reply(stream))
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return  # the client had enough

        tasks.start_soon(listener.serve, handle)
        yield server
        tasks.cancel_scope.cancel()


async def _read_request(stream: AnyByteStream) -> Asked:
    head = await BufferedByteReceiveStream(stream).receive_until(b"\r\n\r\n", 100_000)
    first, *lines = head.decode("ascii").split("\r\n")
    pairs = [line.partition(": ") for line in lines]
    assert len({name.lower() for name, _, _ in pairs}) == len(pairs)
    return Asked(first.split(" ")[1], {name.lower(): value for name, _, value in pairs})


class Names:
    """A resolver with its answers written out; a name with several gives them one after the other."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.asked: list[str] = []
        self.closed = False
        self._answers = {f"{name}.test": iter(given) for name, given in answers.items()}

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        del port
        self.asked.append(host)
        if host not in self._answers:
            message = f"[Errno -2] Name or service not known: {host}"
            raise OSError(message)
        return next(self._answers[host])

    def close(self) -> None:
        self.closed = True


def photos_test(times: int = 10) -> Names:
    """`photos.test` is this machine, however often it is asked."""
    return Names(photos=[[str(LOOPBACK)]] * times)


def loopback_policy(server: Server) -> FetchPolicy:
    """What the service never has: plain HTTP, and this one server on this machine."""
    return FetchPolicy(
        schemes=frozenset({"http", "https"}), ports=frozenset({server.port}), more_addresses=frozenset({LOOPBACK})
    )


@asynccontextmanager
async def fetcher_for(
    server: Server,
    *,
    names: Names | None = None,
    limits: FetchLimits | None = None,
    policy: FetchPolicy | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncGenerator[Fetcher]:
    """A fetcher that may ask the server."""
    fetcher = Fetcher(
        limits or FetchLimits(timeout_s=GIVE_UP_S),
        policy or loopback_policy(server),
        resolver=names or photos_test(),
        tls=tls,
    )
    try:
        with anyio.fail_after(GIVE_UP_S):
            yield fetcher
    finally:
        await fetcher.close()


async def refusal(fetcher: Fetcher, url: str) -> ImageError:
    """The error that the URL gives."""
    with pytest.raises(ImageError) as caught:
        await fetcher.fetch(url)
    return caught.value


def reply(status: str = "200 OK", body: bytes = b"", **headers: str) -> bytes:
    """A whole reply; its length is said unless `content_length` is given, and not at all where that is empty."""
    given = {"content_length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def redirect(location: str, **headers: str) -> bytes:
    return reply("302 Found", b"", location=location, **headers)
