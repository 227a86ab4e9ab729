"""From a request to the bytes and values in it: who asks, and a JSON object under the vendor's cap."""

from typing import cast

import msgspec
from starlette.requests import Request

from app.domain import Json
from app.sandbox.errors import SandboxError, body_too_large, invalid

MAX_BODY_BYTES = 32_000_000
"""The largest body. The vendor says "32 MB"; this is the stricter reading.

Source: https://platform.claude.com/docs/en/api/errors, seen 2026-08-22.
"""


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


async def read_object(request: Request) -> dict[str, Json]:
    """The JSON object in the body.

    Raises:
        SandboxError: 413 as soon as the body is known to be over `MAX_BODY_BYTES`; 400, it is not a JSON object.
    """
    body = await _read_capped(request)
    try:
        value = cast("Json", msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise invalid("The request body must be a JSON object")
    return value


async def _read_capped(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        raise body_too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise body_too_large()
    return bytes(body)
