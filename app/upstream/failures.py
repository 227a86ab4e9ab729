"""The SDK's exceptions as this service's own: status, type, message and request id stay the vendor's."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from app.domain import Json
from app.errors import ErrorCode, RawAnswer, UpstreamError

if TYPE_CHECKING:
    import anthropic

MAX_MESSAGE_CHARS = 2_000
"""Of a vendor's message; the rest is cut, so that a page of HTML from a broken gateway does not travel on."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_BAD_GATEWAY, _GATEWAY_TIMEOUT = 502, 504


def from_sdk(error: "anthropic.APIError") -> UpstreamError:
    """The same failure in the terms of this service."""
    import anthropic  # noqa: PLC0415 - it takes longer to import than all else together, and /livez need not wait for it

    if isinstance(error, anthropic.APIStatusError):
        return _from_status(error)
    if isinstance(error, anthropic.APITimeoutError):
        return timed_out("the Claude API did not answer in time")
    return unreachable("the Claude API could not be reached")


def unreachable(message: str) -> UpstreamError:
    """No connection, or one that broke."""
    return UpstreamError(ErrorCode.UPSTREAM_UNREACHABLE, message, status=_BAD_GATEWAY, error_type="api_error")


def timed_out(message: str) -> UpstreamError:
    """A deadline of ours that passed."""
    return UpstreamError(
        ErrorCode.UPSTREAM_TIMEOUT,
        message,
        status=_GATEWAY_TIMEOUT,
        error_type="timeout_error",
        hint="stream the answer, ask for fewer tokens, or raise VISION_PROXY_UPSTREAM_TIMEOUT_S",
    )


def unreadable(request_id: str | None) -> UpstreamError:
    """An answer that is not what the API promises."""
    return UpstreamError(
        ErrorCode.UPSTREAM_ERROR,
        "the Claude API gave an answer that is not a message",
        status=_BAD_GATEWAY,
        error_type="api_error",
        request_id=request_id,
    )


def from_event(event: Mapping[str, Json], request_id: str | None) -> UpstreamError:
    """An `error` event inside a stream; its status is what the same error has outside one."""
    error = event.get("error")
    fields = error if isinstance(error, dict) else {}
    error_type = fields.get("type")
    kind = error_type if isinstance(error_type, str) else "api_error"
    message = fields.get("message")
    return UpstreamError(
        ErrorCode.UPSTREAM_ERROR,
        (message if isinstance(message, str) else "the stream ended with an error")[:MAX_MESSAGE_CHARS],
        status=next((status for status, name in _TYPES.items() if name == kind), 500),
        error_type=kind,
        request_id=request_id,
    )


def _from_status(error: "anthropic.APIStatusError") -> UpstreamError:
    if not 300 <= error.status_code <= 599:  # noqa: PLR2004 - what is no success
        return unreachable(f"the Claude API answered with the status {error.status_code}, which is none of its own")
    return UpstreamError(
        ErrorCode.UPSTREAM_ERROR,
        (error.api_message or f"the Claude API answered {error.status_code}")[:MAX_MESSAGE_CHARS],
        status=error.status_code,
        error_type=error.type or _TYPES.get(error.status_code, "api_error"),
        request_id=error.request_id,
        raw=RawAnswer(error.status_code, dict(error.response.headers.items()), error.response.content),
        upstream=_details_of(error.body),
    )


def _details_of(body: object) -> Mapping[str, object] | None:
    """The vendor's own `details`, kept whole under one name so that they cannot collide with ours."""
    error = cast("dict[str, object]", body).get("error") if isinstance(body, dict) else None
    details = cast("dict[str, object]", error).get("details") if isinstance(error, dict) else None
    return cast("Mapping[str, object]", details) if isinstance(details, dict) and details else None
