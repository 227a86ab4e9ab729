"""What the sandbox refuses with: the vendor's status, type, message and details, and the envelope around them."""

from collections.abc import Mapping

from app.domain import Json


class SandboxError(Exception):
    """An answer of the vendor that is not 200."""

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        *,
        details: Mapping[str, Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`details` holds at least `error_code` where there is one; `headers` go out with the answer."""
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


def invalid(message: str, *, error_code: str | None = None) -> SandboxError:
    """400 for a request that is wrong in itself."""
    return SandboxError(400, "invalid_request_error", message, details=_coded(error_code))


def not_found(message: str, *, error_code: str | None = None) -> SandboxError:
    """404 for a route, model, file or batch that there is not."""
    return SandboxError(404, "not_found_error", message, details=_coded(error_code))


def body_too_large(message: str = "Request exceeds the maximum size", *, error_code: str | None = None) -> SandboxError:
    """413 for too many bytes; with an `error_code` it is the API's own, without one that of the network before it."""
    return SandboxError(413, "request_too_large", message, details=_coded(error_code))


def dimensions_too_large(message: str, *, max_side_px: int, paths: list[str]) -> SandboxError:
    """400 for pictures with too long a side; `paths` in the form `messages.0.content.1`.

    Source: anthropic 2.12.0, types/image_dimensions_too_large_error_details.py.
    """
    return SandboxError(
        400,
        "invalid_request_error",
        message,
        details={
            "error_code": "image_dimensions_too_large",
            "max_side_length_pixels": max_side_px,
            "paths": [*paths],
        },
    )


def error_body(error: SandboxError, request_id: str) -> dict[str, Json]:
    """The JSON body of an error.

    A plain 413 comes from the network in front of the API and has neither the outer type nor a request id.

    Source: https://platform.claude.com/docs/en/api/errors, seen 2026-08-22; for 413
    https://github.com/anthropics/anthropic-sdk-python/issues/938.
    """
    inner: dict[str, Json] = {"type": error.error_type, "message": error.message}
    if error.details:
        inner["details"] = error.details
    if error.error_type == "request_too_large" and not error.details:
        return {"error": inner}
    return {"type": "error", "error": inner, "request_id": request_id}


def _coded(error_code: str | None) -> dict[str, Json]:
    return {} if error_code is None else {"error_code": error_code}
