"""JSON whose members stay bytes until somebody looks at them: decoding, and what is said where that fails."""

from typing import TypeVar, cast

import msgspec

from app.domain import Json
from app.errors import AppError, ErrorCode
from app.pipeline.crowded_json import decode_crowded

_Kind = TypeVar("_Kind")

_MAX_REASON_CHARS = 200


def decode_json(raw: bytes | memoryview | msgspec.Raw, kind: type[_Kind], expected: str) -> _Kind:
    """The JSON as a value of that kind.

    Raises:
        AppError: `invalid_request`, saying what was `expected` and where it is not.
    """
    try:
        return decode_crowded(raw, kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AppError(ErrorCode.INVALID_REQUEST, f"{expected}: {str(error)[:_MAX_REASON_CHARS]}") from None
    except RecursionError:
        raise AppError(ErrorCode.INVALID_REQUEST, f"{expected}: it is nested too deep") from None


def check_text(body: bytes) -> None:
    """Nothing, where the body is UTF-8; parts of it are passed on undecoded.

    Raises:
        AppError: `invalid_request`.
    """
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        raise AppError(ErrorCode.INVALID_REQUEST, f"the body is not UTF-8 at byte {error.start}") from None


def decode_any(raw: bytes | msgspec.Raw, expected: str) -> Json:
    """The JSON as plain values. Raises as `decode_json`."""
    return cast("Json", decode_json(raw, object, expected))
