"""Compressed request bodies, decoded under the same cap as plain ones."""

import sys
import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from app.errors import AppError, ErrorCode
from app.web.bodies import body_too_large, read_chunks

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GZIP_WINDOW = 31
_PIECE_BYTES = 1 << 20


async def read_decoded(request: Request, max_bytes: int) -> bytes:
    """The whole body, its `content-encoding` (gzip, deflate, zstd or none) undone; at most `max_bytes` either way.

    Raises:
        AppError: `body_too_large`, or `invalid_request` for an encoding that is unknown or broken.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    chunks = read_chunks(request, max_bytes)
    if encoding in {"identity", ""}:
        return b"".join([chunk async for chunk in chunks])
    decoder = _decoder(encoding)
    try:
        decoded = await _decode(chunks, decoder, max_bytes)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise AppError(ErrorCode.INVALID_REQUEST, f"the body is not valid {encoding}") from error
    if not decoder.eof:
        raise AppError(ErrorCode.INVALID_REQUEST, f"the {encoding} body is cut short")
    return decoded


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


async def _decode(chunks: AsyncIterator[bytes], decoder: "_Inflater | zstd.ZstdDecompressor", max_bytes: int) -> bytes:
    decoded = bytearray()
    async for chunk in chunks:
        piece = chunk
        while not decoder.eof and (piece or not decoder.needs_input):
            decoded += decoder.decompress(piece, _PIECE_BYTES)
            piece = b""
            if len(decoded) > max_bytes:
                raise body_too_large(f"the decoded body is longer than {max_bytes} bytes", len(decoded), max_bytes)
    return bytes(decoded)
