"""The one table from error code to HTTP status, and the one shape of an error body."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.errors import AppError, ErrorCode, UpstreamError
from app.pipeline import Observer

_log = logging.getLogger(__name__)


class Status(NamedTuple):
    """How a code is told: the HTTP status, and the vendor's `type` so that SDKs raise their typed errors."""

    http: int
    error_type: str


STATUSES: Mapping[ErrorCode, Status] = {
    ErrorCode.INVALID_REQUEST: Status(400, "invalid_request_error"),
    ErrorCode.UNKNOWN_FIELD: Status(400, "invalid_request_error"),
    ErrorCode.INVALID_SCHEMA: Status(400, "invalid_request_error"),
    ErrorCode.NO_IMAGE: Status(400, "invalid_request_error"),
    ErrorCode.EMPTY_IMAGE: Status(400, "invalid_request_error"),
    ErrorCode.INVALID_BASE64: Status(400, "invalid_request_error"),
    ErrorCode.UNSUPPORTED_FORMAT: Status(400, "invalid_request_error"),
    ErrorCode.IMAGE_UNDECODABLE: Status(400, "invalid_request_error"),
    ErrorCode.IMAGE_TOO_MANY_PIXELS: Status(400, "invalid_request_error"),
    ErrorCode.TOO_MANY_IMAGES: Status(400, "invalid_request_error"),
    ErrorCode.REQUEST_TOO_LARGE_AFTER_NORMALIZING: Status(400, "invalid_request_error"),
    ErrorCode.URL_IMAGES_OFF: Status(400, "invalid_request_error"),
    ErrorCode.URL_BLOCKED: Status(400, "invalid_request_error"),
    ErrorCode.URL_UNREACHABLE: Status(400, "invalid_request_error"),
    ErrorCode.URL_TOO_LARGE: Status(400, "invalid_request_error"),
    ErrorCode.INVALID_KEY: Status(401, "authentication_error"),
    ErrorCode.BUDGET_EXHAUSTED: Status(402, "billing_error"),
    ErrorCode.KEY_EXPIRED: Status(401, "authentication_error"),
    ErrorCode.MODEL_NOT_ALLOWED: Status(403, "permission_error"),
    ErrorCode.ADMIN_ONLY: Status(403, "permission_error"),
    ErrorCode.ENDPOINT_NOT_ALLOWED: Status(403, "permission_error"),
    ErrorCode.MAX_COST_EXCEEDED: Status(402, "billing_error"),
    ErrorCode.FILE_NOT_FOUND: Status(404, "not_found_error"),
    ErrorCode.BATCH_NOT_FOUND: Status(404, "not_found_error"),
    ErrorCode.KEY_NOT_FOUND: Status(404, "not_found_error"),
    ErrorCode.UNKNOWN_ROUTE: Status(404, "not_found_error"),
    ErrorCode.IDEMPOTENCY_CONFLICT: Status(409, "conflict_error"),
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: Status(409, "conflict_error"),
    ErrorCode.BODY_TOO_SLOW: Status(408, "timeout_error"),
    ErrorCode.BODY_TOO_LARGE: Status(413, "request_too_large"),
    ErrorCode.IMAGE_TOO_LARGE: Status(413, "request_too_large"),
    ErrorCode.SCHEMA_REFUSED: Status(400, "invalid_request_error"),
    ErrorCode.SCHEMA_MISMATCH: Status(422, "invalid_request_error"),
    ErrorCode.ANSWER_REFUSED: Status(422, "invalid_request_error"),
    ErrorCode.ANSWER_CUT: Status(422, "invalid_request_error"),
    ErrorCode.RATE_LIMITED: Status(429, "rate_limit_error"),
    ErrorCode.BUSY: Status(429, "rate_limit_error"),
    ErrorCode.CLIENT_CLOSED: Status(499, "invalid_request_error"),
    ErrorCode.INTERNAL: Status(500, "api_error"),
    ErrorCode.DRAINING: Status(503, "api_error"),
    ErrorCode.UPSTREAM_ERROR: Status(502, "api_error"),
    ErrorCode.UPSTREAM_UNREACHABLE: Status(502, "api_error"),
    ErrorCode.UPSTREAM_TIMEOUT: Status(504, "timeout_error"),
}

_UNREAD_BODY = frozenset(
    {
        *(ErrorCode.BODY_TOO_LARGE, ErrorCode.IMAGE_TOO_LARGE, ErrorCode.INVALID_KEY, ErrorCode.KEY_EXPIRED),
        *(ErrorCode.ADMIN_ONLY, ErrorCode.ENDPOINT_NOT_ALLOWED, ErrorCode.RATE_LIMITED, ErrorCode.BUSY),
        *(ErrorCode.BODY_TOO_SLOW, ErrorCode.DRAINING),
    }
)
"""Refusals that may come before the body was read; the connection is closed rather than drained."""


def status_of(error: AppError) -> Status:
    """The status of that error; an upstream error keeps the vendor's."""
    if isinstance(error, UpstreamError):
        return Status(error.status, error.error_type)
    return STATUSES[error.code]


def error_body(error: AppError, request_id: str) -> dict[str, object]:
    """The body of an error answer, in the vendor's own envelope."""
    details = {"error_code": error.code.value, **error.details}
    if isinstance(error, UpstreamError) and error.request_id is not None:
        details["upstream_request_id"] = error.request_id
    return {
        "type": "error",
        "error": {"type": status_of(error).error_type, "message": error.message, "details": details},
        "request_id": request_id,
    }


def error_response(error: AppError, request_id: str) -> JSONResponse:
    """The whole error answer."""
    headers: dict[str, str] = {}
    if isinstance(error, UpstreamError) and error.retry_after is not None:
        headers["retry-after"] = error.retry_after
    if "retry_after_s" in error.details:
        headers["retry-after"] = str(error.details["retry_after_s"])
    if error.code is ErrorCode.IDEMPOTENCY_CONFLICT:
        headers["x-should-retry"] = "false"  # the SDKs repeat a 409, and this one stays as it is
    if error.code in _UNREAD_BODY:
        headers["connection"] = "close"
    return JSONResponse(error_body(error, request_id), status_of(error).http, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Make every refusal answer in the one shape; unexpected failures are the middleware's."""
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_query)
    app.add_exception_handler(HTTPException, _on_http_error)


async def _on_app_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AppError)  # noqa: S101 - Starlette types its handlers by the base class
    observer: Observer = request.app.state.observer
    observer.refused(error)
    return error_response(error, request.state.request_id)


async def _on_invalid_query(request: Request, error: Exception) -> JSONResponse:
    """The answer where a parameter of the query is not what it should be; bodies are read by us."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    first = error.errors()[0]
    name = str(first["loc"][-1])
    invalid = AppError(ErrorCode.INVALID_REQUEST, f"{name}: {first['msg']}", field=name)
    observer: Observer = request.app.state.observer
    observer.refused(invalid)
    return error_response(invalid, request.state.request_id)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    """The answer where no route fits; a wrong method keeps its 405 and says which are right."""
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    path = request.url.path
    allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow")
    known = f"{path} takes {allowed}" if allowed else f"there is no {request.method} {path} here"
    unknown = AppError(ErrorCode.UNKNOWN_ROUTE, known, hint="GET /docs lists every route")
    observer: Observer = request.app.state.observer
    observer.refused(unknown)
    response = error_response(unknown, request.state.request_id)
    if allowed:
        response.status_code = error.status_code
        response.headers["allow"] = allowed
    return response


def unexpected(error: Exception, request_id: str, observer: Observer) -> JSONResponse:
    """The answer to a fault of this service: its cause goes to the log, never to the client."""
    _log.error("request %s failed: %s", request_id, type(error).__name__, exc_info=error)
    internal = AppError(ErrorCode.INTERNAL, "this service failed; the log says why under this request id")
    observer.refused(internal)
    return error_response(internal, request_id)
