"""The errors of a download. They name the host that the client gave, never its path, query or addresses."""

from app.errors import ErrorCode, ImageError

_SEND_IT = "send the picture itself, as a file or as base64"


def blocked(place: str, reason: str) -> ImageError:
    """`url_blocked`: what this service does not ask."""
    return ImageError(ErrorCode.URL_BLOCKED, f"{place}: {reason}", hint=_SEND_IT)


def unreachable(place: str, reason: str, *, status: int | None = None, limit: float | None = None) -> ImageError:
    """`url_unreachable`: what was asked and gave no picture."""
    return ImageError(ErrorCode.URL_UNREACHABLE, f"{place}: {reason}", status=status, limit=limit, hint=_SEND_IT)


def too_large(place: str, max_bytes: int, size_bytes: int | None) -> ImageError:
    """`url_too_large`; `size_bytes` where the server had said it, else it was cut off at the limit."""
    fact = f"more than {max_bytes} bytes" if size_bytes is None else f"{size_bytes} bytes"
    return ImageError(
        ErrorCode.URL_TOO_LARGE,
        f"{place}: the picture is {fact}; the limit is {max_bytes} bytes",
        actual=size_bytes,
        limit=max_bytes,
        hint="send a smaller file",
    )
