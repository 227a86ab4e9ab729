"""A Claude API that misbehaves in a way of its own on each connection, and what clients of the service get then."""

import asyncio
import gzip
import socket
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import Any

import httpx2

from bench.latency import process
from torture.sockets import Statuses

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
_ROUNDS = 6
_SILENCE_S = 30.0

Misbehaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del writer
    with suppress(TimeoutError):
        async with asyncio.timeout(_SILENCE_S):
            await reader.read(-1)


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del reader
    writer.write(_HEAD + b"content-length: 100000\r\n\r\n")
    for _ in range(300):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del writer
    await reader.readuntil(b"\r\n\r\n")


def _say(answer: bytes) -> Misbehaviour:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return say


MISBEHAVIOURS: dict[str, Misbehaviour] = {
    "hangs": _hang,
    "drips": _drip,
    "resets": _reset,
    "closes": _say_nothing,
    "announces more than it sends": _say(_HEAD + b'content-length: 5000\r\n\r\n{"id":'),
    "announces less than it sends": _say(_HEAD + b'content-length: 2\r\n\r\n{}{"id":1}'),
    "speaks no HTTP": _say(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "sends endless headers": _say(b"HTTP/1.1 200 OK\r\n" + b"x-header: y\r\n" * 50_000),
    "answers no JSON": _say(_HEAD + b"content-length: 5\r\n\r\nhello"),
    "answers another JSON": _say(_HEAD + b"content-length: 7\r\n\r\n[1,2,3]"),
    "answers a usage of texts": _say(_HEAD + b'content-length: 34\r\n\r\n{"usage":{"input_tokens":"plenty"}}'[:34]),
    "answers a status that nobody knows": _say(b"HTTP/1.1 799 Odd\r\ncontent-length: 2\r\n\r\n{}"),
    "packs a gigabyte": _say(
        _HEAD + b"content-encoding: gzip\r\nconnection: close\r\n\r\n" + gzip.compress(b" " * 100_000_000)
    ),
    "streams no events": _say(_STREAM + b"x" * 100_000),
    "streams broken events": _say(_STREAM + b"event: message_start\ndata: {]\n\n" * 100),
    "streams an event without end": _say(_STREAM + b"event: text\ndata: " + b"y" * 5_000_000),
    "streams half an answer": _say(_STREAM + b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n'),
}


async def misbehave() -> None:
    """Go through the misbehaviours, one for each connection, until ended; says on standard error where."""
    following = cycle(MISBEHAVIOURS.values())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await next(following)(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"running on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    await server.serve_forever()


@contextmanager
def served(command: Sequence[str], niceness: int) -> Generator[str]:
    """The address of a server of our own, that much nicer than we are; ended on exit."""
    with process(["nice", "-n", str(niceness), *command], {}) as url:
        yield url


async def asked_of_it(url: str) -> Statuses:
    """Requests of every kind, streamed and not, as often as there are misbehaviours, several times over."""
    message: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 5}
    message["messages"] = [{"role": "user", "content": "hi"}]
    native = {"images": [{"data": _pixel()}], "prompt": "hi", "max_tokens": 5}
    kinds = [
        (path, {**body, "stream": stream})
        for path, body in (("/v1/messages", message), ("/v1/analyze", native))
        for stream in (False, True)
    ]
    waiting = kinds * len(MISBEHAVIOURS) * _ROUNDS
    statuses: Statuses = Counter()

    async def one(client: httpx2.AsyncClient) -> None:
        while waiting:
            path, body = waiting.pop()
            try:
                statuses[str((await client.post(path, json=body)).status_code)] += 1
            except httpx2.TransportError as error:
                statuses[type(error).__name__] += 1

    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        await asyncio.gather(*[one(client) for _ in range(32)])
    return statuses


def _pixel() -> str:
    """A PNG of one pixel, as base64."""
    return "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="


if __name__ == "__main__":
    asyncio.run(misbehave())
