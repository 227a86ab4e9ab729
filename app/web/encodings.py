"""Compressed request bodies, decoded under the same cap as plain ones."""

import sys
import zlib
from collections.abc import AsyncIterator

from anyio import lowlevel
from starlette.requests import Request

from app.errors import AppError, ErrorCode
from app.pipeline import Room
from app.web.bodies import body_too_large, read_body, read_chunks
from app.web.gate import room_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GZIP_WINDOW = 31
_PIECE_BYTES = 1 << 20
_FREE_BYTES = 8 << 20
_MOST_TIMES_LARGER = 50
"""A body may grow to this many times what was sent; base64 pictures pack 1.3 times, long conversations ten times."""


async def read_decoded(request: Request, max_bytes: int) -> bytes:
    """The whole body, its `content-encoding` (gzip, deflate, zstd or none) undone; at most `max_bytes` either way.

    Raises:
        AppError: `body_too_large`, or `invalid_request` for an encoding that is unknown or broken.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"identity", ""}:
        return await read_body(request, max_bytes)
    try:
        return await _decode(read_chunks(request, max_bytes), encoding, max_bytes, room_of(request))
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise AppError(ErrorCode.INVALID_REQUEST, f"the body is not valid {encoding}") from error


class _Inflater:
    """gzip and deflate with the interface of the zstd decoder: bounded pieces out."""

    def __init__(self, window: int) -> None:
        self._inflate = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)


def _decoder(encoding: str) -> "_Inflater | zstd.ZstdDecompressor":
    if encoding in {"gzip", "x-gzip"}:
        return _Inflater(_GZIP_WINDOW)
    if encoding == "deflate":
        return _Inflater(zlib.MAX_WBITS)
    if encoding == "zstd":
        return zstd.ZstdDecompressor()
    raise AppError(
        ErrorCode.INVALID_REQUEST,
        f"content-encoding {encoding[:50]!r} is not read here",
        hint="send gzip, deflate, zstd or no encoding",
    )


async def _decode(chunks: AsyncIterator[bytes], encoding: str, max_bytes: int, room: Room) -> bytes:
    """The decoded body; it may consist of several members, one after the other."""
    decoded = bytearray()
    received = 0
    decoder = _decoder(encoding)
    async for chunk in chunks:
        received += len(chunk)
        allowed = min(max_bytes, max(_FREE_BYTES, _MOST_TIMES_LARGER * received))
        piece = chunk
        while piece or not (decoder.eof or decoder.needs_input):
            if decoder.eof:
                decoder = _decoder(encoding)
            decoded += decoder.decompress(piece, _PIECE_BYTES)
            piece = decoder.unused_data if decoder.eof else b""
            if len(decoded) > allowed:
                raise body_too_large(f"the decoded body is longer than {allowed} bytes", len(decoded), allowed)
            await room.receive(len(decoded))
            await lowlevel.checkpoint()
    if not decoder.eof:
        raise AppError(ErrorCode.INVALID_REQUEST, f"the {encoding} body is cut short")
    return bytes(decoded)
