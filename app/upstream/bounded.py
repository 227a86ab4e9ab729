"""What the API answers, read so that no answer, however made, holds up the event loop or fills the memory.

Packed bytes are unpacked a little at a time, and no more of them than an honest packer would have made.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import httpx2
from anyio import lowlevel

from app.upstream.failures import unreachable

_PIECE_BYTES = 16_384
_PIECES_AT_ONCE = 16
"""Or as many bytes as one piece may have; then the loop has its turn, for what has come already waits for nothing."""

_FREE_BYTES = 8_000_000
_MOST_TIMES_LARGER = 50
"""An answer may unpack to this many times what came, as bodies may that come in."""

MAX_REFUSAL_BYTES = 1_000_000
"""Of an answer that says that something failed, which the SDK reads whole."""

_LENGTHS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


async def pieces_of(response: httpx2.Response, *, held: bool = True) -> AsyncIterator[bytes]:
    """The unpacked bytes of an answer that is open and unread, at most `_PIECE_BYTES` at a time.

    `held` says that the caller keeps them all, so that what unpacks to more than is honest is refused early.

    Raises:
        UpstreamError: it unpacks to more than is honest.
        httpx2.HTTPError: the connection broke, or what came is not what was announced.
    """
    unpacked = pieces = size_bytes = 0
    async with aclosing(response.aiter_bytes()) as larger_pieces:
        async for larger in larger_pieces:
            unpacked += len(larger)
            allowed = max(_FREE_BYTES, _MOST_TIMES_LARGER * response.num_bytes_downloaded)
            if held and unpacked > allowed:
                raise unreachable(f"the packed answer of the Claude API is over {allowed} bytes, the limit")
            for start in range(0, len(larger), _PIECE_BYTES):
                piece = larger[start : start + _PIECE_BYTES]
                yield piece
                pieces += 1
                size_bytes += len(piece)
                if pieces == _PIECES_AT_ONCE or size_bytes >= _PIECE_BYTES:
                    pieces = size_bytes = 0
                    await lowlevel.checkpoint()


async def content_of(response: httpx2.Response, most_bytes: int, named: str) -> bytes:
    """All of an answer that is open and unread, which is closed then.

    Raises:
        UpstreamError, httpx2.HTTPError: as `pieces_of`, or it is over `most_bytes`.
    """
    content = bytearray()
    try:
        async for piece in pieces_of(response):
            content += piece
            if len(content) > most_bytes:
                raise unreachable(f"{named} is over {most_bytes} bytes, the limit")
    finally:
        with anyio.CancelScope(shield=True):
            await response.aclose()
    return bytes(content)


async def refusal_of(response: httpx2.Response, request: httpx2.Request) -> httpx2.Response:
    """The same answer, read whole and unpacked; for those that say that something failed.

    Raises:
        UpstreamError, httpx2.HTTPError: as `pieces_of`, or it is over `MAX_REFUSAL_BYTES`.
    """
    content = await content_of(response, MAX_REFUSAL_BYTES, "a refusal of the Claude API")
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _LENGTHS]
    return httpx2.Response(response.status_code, headers=headers, content=content, request=request)


def bounded_client() -> httpx2.AsyncClient:
    """A client as the SDK makes one for itself, but for what it reads of refusals."""
    from anthropic import DefaultAsyncHttpxClient  # noqa: PLC0415 - as in `failures`

    class Bounded(DefaultAsyncHttpxClient):
        async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # noqa: ANN401 - passed on
            response = await super().send(request, **options)
            return response if response.is_success else await refusal_of(response, request)

    return Bounded()
