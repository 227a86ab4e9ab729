"""Pictures as base64 in JSON: as the vendor takes it, and as people send it."""

import pybase64

from app.errors import ErrorCode, ImageError

_SPACES = b" \t\n\v\f\r\x1c\x1d\x1e\x1f"
"""Of base64; split at them it would be millions of texts."""


def base64_source(media_type: str, data: bytes) -> bytes:
    """The JSON of an image source; base64 is ASCII and needs no escaping."""
    return b"".join(
        (b'{"type":"base64","media_type":"', media_type.encode(), b'","data":"', pybase64.b64encode(data), b'"}')
    )


def decode_base64(text: str) -> bytes:
    """The bytes of base64 text as people send it: with or without a `data:` prefix, line breaks and padding.

    Raises:
        ImageError: `invalid_base64`.
    """
    payload = text
    if text[:5].lower() == "data:":
        header, comma, payload = text.partition(",")
        if not comma or not header.lower().endswith(";base64"):
            raise ImageError(
                ErrorCode.INVALID_BASE64, "the data: URI is not base64", hint="send data:image/png;base64,AAAA..."
            )
    strict = decode_strictly(payload)
    if strict is not None:
        return strict
    compact = payload.encode("ascii", "replace").translate(None, _SPACES).rstrip(b"=").decode()
    lenient = decode_strictly(compact + "=" * (-len(compact) % 4))
    if lenient is None:
        raise ImageError(
            ErrorCode.INVALID_BASE64,
            f"{len(payload)} characters that are not base64",
            actual=len(payload),
            hint="use the standard alphabet (A-Z a-z 0-9 + /), without a URL or a file path",
        )
    return lenient


def decode_strictly(text: str | memoryview) -> bytes | None:
    """The bytes of base64 as the vendor takes it; None where it is anything else."""
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        return None
