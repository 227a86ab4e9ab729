"""From a request to the bytes and values in it: who asks, the body decoded, a JSON object under the vendor's cap."""

import zlib
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import cast

import msgspec
from starlette.requests import Request

from app.domain import Json
from app.sandbox.errors import SandboxError, body_too_large, invalid

MAX_BODY_BYTES = 32_000_000
"""The largest body. The vendor says "32 MB"; this is the stricter reading.

Source: https://platform.claude.com/docs/en/api/errors, seen 2026-08-22.
"""

PIECE_BYTES = 1_000_000
"""The sandbox's own choice: how much of a compressed body is decoded at once."""


def read_key(request: Request) -> str:
    """The caller's key, which may be anything.

    Raises:
        SandboxError: 401, there is none.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-api-key", "") or (token.strip() if scheme.lower() == "bearer" else "")
    if not key:
        raise SandboxError(401, "authentication_error", "x-api-key header is required")
    return key


def read_workspace(request: Request) -> str:
    """What the caller's files and batches belong to: here each key has a workspace of its own.

    Raises:
        SandboxError: 401, there is no key.
    """
    return sha256(read_key(request).encode()).hexdigest()


async def read_object(request: Request, max_bytes: int = MAX_BODY_BYTES) -> dict[str, Json]:
    """The JSON object in the body.

    Raises:
        SandboxError: 413 as soon as the body is known to be over `max_bytes`; 400, it is not a JSON object.
    """
    body = bytearray()
    async for chunk in body_chunks(request, max_bytes):
        body += chunk
    try:
        value = cast("Json", msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise invalid("The request body must be a JSON object")
    return value


async def body_chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body piece by piece, without the `content-encoding` it came in.

    The vendor takes gzip and refuses zstd, br and deflate (probed by others, 2026-10-05); its words are not known, and
    these are the sandbox's own.

    Raises:
        SandboxError: 413 as soon as the body is known to be over `max_bytes`, as sent or decoded; 400, it is encoded
            in another way than gzip or not as it says.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in _capped(request, max_bytes):
            yield chunk
    elif encoding == "gzip":
        decoder = _GzipDecoder(max_bytes)
        async for chunk in _capped(request, max_bytes):
            for piece in decoder.decode(chunk):
                yield piece
        decoder.finish()
    else:
        raise invalid(
            f"Content-Encoding '{encoding}' is not supported; send gzip, or no encoding at all",
            error_code="request_body_encoding_unsupported",
        )


async def _capped(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise body_too_large()
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise body_too_large()
        yield chunk


class _GzipDecoder:
    """One gzip member, never more than `PIECE_BYTES` of it decoded at once."""

    def __init__(self, max_bytes: int) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with the header and trailer of gzip
        self._max_bytes = max_bytes
        self._decoded = 0

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        # What fills a piece to the brim may have more behind it, although all input is gone.
        is_full = False
        while chunk or is_full:
            if self._inflater.eof:
                raise _badly_encoded()
            try:
                piece = self._inflater.decompress(chunk, PIECE_BYTES)
            except zlib.error as error:
                raise _badly_encoded() from error
            self._decoded += len(piece)
            if self._decoded > self._max_bytes:
                raise body_too_large(
                    f"Request exceeds the maximum size of {self._max_bytes} bytes after decoding",
                    error_code="request_body_too_large_after_decoding",
                )
            yield piece
            is_full = len(piece) == PIECE_BYTES and not self._inflater.eof
            chunk = self._inflater.unconsumed_tail or self._inflater.unused_data

    def finish(self) -> None:
        if not self._inflater.eof:
            raise _badly_encoded()


def _badly_encoded() -> SandboxError:
    return invalid("The request body is not valid gzip", error_code="request_body_encoding_invalid")
