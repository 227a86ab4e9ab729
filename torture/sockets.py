"""Attacks beneath HTTP's good manners: bytes that come one at a time, lengths that lie, headers without end."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from urllib.parse import urlsplit

Statuses = Counter[str]
"""How often each status came; `closed` where the connection ended without an answer, `open` where nothing came."""

_ANSWER_S = 20.0
_DRIPPING_S = 6.0
_BODY = b'{"model":"claude-haiku-4-5","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'


async def slow_uploads(url: str) -> Statuses:
    """64 uploads of ten megabytes that send a byte every fifth of a second, and leave."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        writer.write(_head("POST", "/v1/normalize", "image/png", 10_000_000))
        for _ in range(int(_DRIPPING_S / 0.2)):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.2)
        del reader
        return "left"

    return await _many(url, [drip] * 64)


async def one_byte_chunks(url: str) -> Statuses:
    """Sixteen bodies of 20,000 chunks of one byte each."""

    async def chunked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        body = _BODY.replace(b'"hi"', b'"' + b"a" * 20_000 + b'"')
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
        writer.write(b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n")
        writer.write(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        await writer.drain()
        return await _status(reader)

    return await _many(url, [chunked] * 16)


async def lying_lengths(url: str) -> Statuses:
    """Bodies that are shorter than announced, longer, negative, absurd, twice announced, and not numbers."""
    lengths = [b"1", b"99999", b"-1", b"1e9", b"9" * 30, b"0x10", b"", b"86\r\ncontent-length: 12"]

    def lying(length: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[str]]:
        async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
            writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: " + length + b"\r\n\r\n" + _BODY)
            writer.write_eof()
            return await _status(reader)

        return lie

    return await _many(url, [lying(length) for length in lengths * 8])


async def gigantic_headers(url: str) -> Statuses:
    """One header of a megabyte; ten thousand headers; a path of a megabyte; a header that never ends."""
    heads = [
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-large: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + b"x-many: a\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-endless: " + b"a" * 100_000,
        b"POST /v1/analyze HTTP/1.1\r\nhost: localhost\r\nx-api-key: "
        + b"k" * 60_000
        + b"\r\ncontent-length: 0\r\n\r\n",
        bytes(range(256)) * 400,
    ]

    def sending(head: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[str]]:
        async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
            writer.write(head)
            with suppress(OSError):
                await writer.drain()
                writer.write_eof()
            return await _status(reader)

        return send

    return await _many(url, [sending(head) for head in heads * 8])


async def leavers(url: str) -> Statuses:
    """300 clients who ask, and leave at once or after the first bytes of the answer."""
    stream = _BODY[:-1] + b',"stream":true}'

    async def leave_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        writer.write(_head("POST", "/v1/messages", "application/json", len(_BODY)) + _BODY)
        await writer.drain()
        del reader
        return "left"

    async def leave_in_the_midst(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        writer.write(_head("POST", "/v1/messages", "application/json", len(stream)) + stream)
        with suppress(OSError):
            async with asyncio.timeout(_ANSWER_S):
                await reader.read(10)
        return "left"

    return await _many(url, [leave_at_once, leave_in_the_midst] * 150)


async def _many(
    url: str, attacks: Iterable[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[str]]]
) -> Statuses:
    address = urlsplit(url)

    async def one(attack: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[str]]) -> str:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            return await attack(reader, writer)
        except OSError:
            return "closed"
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    return Counter(await asyncio.gather(*[one(attack) for attack in attacks]))


async def _status(reader: asyncio.StreamReader) -> str:
    try:
        async with asyncio.timeout(_ANSWER_S):
            line = await reader.readline()
    except TimeoutError:
        return "open"
    return line.split(b" ")[1].decode("ascii", "replace") if line.startswith(b"HTTP/") else "closed"


def _head(method: str, path: str, content_type: str, length: int) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()
