"""The tree of errors that the service tells its clients, and their codes.

    AppError                a fact the client can act on, with a code of the contract
    +-- ImageError          about one picture; the pipeline adds which one
    +-- UpstreamError       what the Claude API itself answered, kept as it said it

How a code becomes an HTTP status is the business of `app.web.errors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeAlias

Detail: TypeAlias = str | int | float | list[str] | Mapping[str, object] | None
"""One value in the `details` of an error body."""


class ErrorCode(StrEnum):
    """The `error_code` values of the HTTP contract that this service gives by itself."""

    INVALID_REQUEST = "invalid_request"
    UNKNOWN_FIELD = "unknown_field"
    INVALID_SCHEMA = "invalid_schema"
    NO_IMAGE = "no_image"
    EMPTY_IMAGE = "empty_image"
    INVALID_BASE64 = "invalid_base64"
    UNSUPPORTED_FORMAT = "unsupported_format"
    IMAGE_UNDECODABLE = "image_undecodable"
    IMAGE_TOO_MANY_PIXELS = "image_too_many_pixels"
    TOO_MANY_IMAGES = "too_many_images"
    REQUEST_TOO_LARGE_AFTER_NORMALIZING = "request_too_large_after_normalizing"
    URL_IMAGES_OFF = "url_images_off"
    URL_BLOCKED = "url_blocked"
    URL_UNREACHABLE = "url_unreachable"
    URL_TOO_LARGE = "url_too_large"
    INVALID_KEY = "invalid_key"
    BUDGET_EXHAUSTED = "budget_exhausted"
    KEY_EXPIRED = "key_expired"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    ADMIN_ONLY = "admin_only"
    ENDPOINT_NOT_ALLOWED = "endpoint_not_allowed"
    MAX_COST_EXCEEDED = "max_cost_exceeded"
    FILE_NOT_FOUND = "file_not_found"
    BATCH_NOT_FOUND = "batch_not_found"
    KEY_NOT_FOUND = "key_not_found"
    UNKNOWN_ROUTE = "unknown_route"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    BODY_TOO_SLOW = "body_too_slow"
    BODY_TOO_LARGE = "body_too_large"
    IMAGE_TOO_LARGE = "image_too_large"
    SCHEMA_REFUSED = "schema_refused"
    SCHEMA_MISMATCH = "schema_mismatch"
    ANSWER_REFUSED = "answer_refused"
    ANSWER_CUT = "answer_cut"
    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    CLIENT_CLOSED = "client_closed"
    INTERNAL = "internal"
    DRAINING = "draining"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"


class AppError(Exception):
    """A refusal that says what was wrong and what would be right.

    `message` is for people and holds both numbers where there are two; `details` repeats them for programs.
    Neither may hold a key, a prompt, image bytes or a path.
    """

    def __init__(self, code: ErrorCode, message: str, **details: Detail) -> None:
        """Keep the fact; `details` without a value are left out."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: dict[str, Detail] = {key: value for key, value in details.items() if value is not None}


class ImageError(AppError):
    """A refusal of one picture; whoever knows its place in the request calls `about`."""

    def about(self, index: int, name: str | None) -> Self:
        """The same error of that picture: `image 3 (scan.tif): ...`. `index` counts from 1."""
        message = f"image {index}{f' ({name})' if name else ''}: {self.message}"
        details: dict[str, Detail] = {"image": index, **({"name": name} if name else {}), **self.details}
        return type(self)(self.code, message, **details)


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An HTTP answer of the Claude API, as it came; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class UpstreamError(AppError):
    """What the Claude API answered, or how it failed to answer."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        status: int,
        error_type: str,
        request_id: str | None = None,
        raw: RawAnswer | None = None,
        **details: Detail,
    ) -> None:
        """`status` and `error_type` are the vendor's; `raw` is its whole answer, unchanged."""
        super().__init__(code, message, **details)
        self.status = status
        self.error_type = error_type
        self.request_id = request_id
        self.raw = raw

    @property
    def retry_after(self) -> str | None:
        """The vendor's header of that name."""
        return None if self.raw is None else self.raw.headers.get("retry-after")
