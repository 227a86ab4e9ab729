"""What /docs says beyond the routes themselves: bodies that may be JSON or forms, examples, every error."""

import json
from importlib.resources import files
from typing import Any

from pydantic import BaseModel

from app.errors import AppError, ErrorCode, ImageError, UpstreamError
from app.web.errors import STATUSES, Status, error_body
from app.web.fields import AnalyzeFields

OpenApi = dict[str, Any]

DESCRIPTION = """
Pictures of any kind in, Claude's answer with its exact cost out. Errors have one shape everywhere, the Claude API's
own; `error.details.error_code` is what programs should branch on.
"""


def _example(name: str) -> OpenApi:
    return json.loads(files("app.web").joinpath("examples", name).read_text("utf-8"))


ANALYZE_EXAMPLE = {"application/json": {"example": _example("analyze.json")}}
EXTRACT_EXAMPLE = {"application/json": {"example": _example("extract.json")}}
LOCATE_EXAMPLE = {"application/json": {"example": _example("locate.json")}}
ESTIMATE_EXAMPLE = {"application/json": {"example": _example("estimate.json")}}
NORMALIZED_FILES: OpenApi = {
    media_type: {"schema": {"type": "string", "format": "binary"}}
    for media_type in ("image/jpeg", "image/png", "image/gif", "image/webp", "application/zip")
}

_STREAM: OpenApi = {
    "text/event-stream": {
        "schema": {"type": "string"},
        "example": 'event: images\ndata: {"images": [...]}\n\nevent: text\ndata: {"text": "A receipt"}\n\n'
        'event: done\ndata: {"id": "va_...", "...": "the whole answer"}\n\n',
    }
}

_MEGAPIXELS = "412 megapixels; the limit is 100"
_EXAMPLES: tuple[AppError, ...] = (
    AppError(ErrorCode.INVALID_REQUEST, "detail: Input should be 'auto', 'low', ...", field="detail"),
    AppError(ErrorCode.UNKNOWN_FIELD, "promt: there is no such field; known are prompt, model, ...", field="promt"),
    AppError(ErrorCode.NO_IMAGE, "the request holds no picture"),
    ImageError(ErrorCode.EMPTY_IMAGE, "the file is empty (0 bytes)", actual=0).about(1, "a.png"),
    ImageError(ErrorCode.INVALID_BASE64, "312 characters that are not base64", actual=312).about(2, None),
    ImageError(ErrorCode.UNSUPPORTED_FORMAT, "an SVG drawing; send JPEG, PNG, ...").about(1, "logo.svg"),
    ImageError(ErrorCode.IMAGE_UNDECODABLE, "the image/jpeg file is broken: it ends too early").about(1, "a.jpg"),
    ImageError(ErrorCode.IMAGE_TOO_MANY_PIXELS, _MEGAPIXELS, actual=412_000_000, limit=100_000_000).about(
        3, "scan.tif"
    ),
    AppError(
        ErrorCode.TOO_MANY_IMAGES, "601 images in the request; claude-sonnet-5-5 takes 600", actual=601, limit=600
    ),
    ImageError(
        ErrorCode.REQUEST_TOO_LARGE_AFTER_NORMALIZING, "still 61000 bytes at the lowest quality", limit=39_000
    ).about(4, "page.png"),
    ImageError(ErrorCode.URL_IMAGES_OFF, "pictures by URL are switched off on this service").about(1, None),
    ImageError(ErrorCode.URL_BLOCKED, "example.internal is not a public address").about(1, None),
    ImageError(ErrorCode.URL_UNREACHABLE, "example.org answered 404").about(1, None),
    ImageError(ErrorCode.URL_TOO_LARGE, "example.org sent more than 33554432 bytes", limit=33_554_432).about(1, None),
    AppError(ErrorCode.INVALID_KEY, "no key was sent"),
    AppError(ErrorCode.KEY_EXPIRED, "the key expired at 2026-11-22T12:00:00Z"),
    AppError(ErrorCode.MODEL_NOT_ALLOWED, "this key may not use claude-opus-4-8; it may use claude-sonnet-5-5"),
    AppError(ErrorCode.ENDPOINT_NOT_ALLOWED, "this token may not use /v1/files; it may use /v1/analyze"),
    AppError(ErrorCode.RATE_LIMITED, "more than 10 wrong keys in a minute from this address", retry_after_s=42),
    AppError(
        ErrorCode.BUDGET_EXHAUSTED,
        "the budget of this key is 50.00 USD a month: 48.10 spent, 1.50 reserved by running requests, and this one may "
        "cost up to 0.91; it renews at 2026-12-01T00:00:00Z",
        budget_usd=50.0,
        spent_usd=48.1,
        reserved_usd=1.5,
        bound_usd=0.91,
        renews_at="2026-12-01T00:00:00Z",
    ),
    AppError(
        ErrorCode.MAX_COST_EXCEEDED, "this may cost up to 0.091400 USD; max_cost_usd is 0.05", actual=0.0914, limit=0.05
    ),
    ImageError(ErrorCode.FILE_NOT_FOUND, "no such file").about(1, None),
    AppError(ErrorCode.IDEMPOTENCY_CONFLICT, "this Idempotency-Key belongs to another request of the last 24 hours"),
    AppError(
        ErrorCode.IDEMPOTENCY_IN_PROGRESS,
        "the first request with this Idempotency-Key is still being answered",
        retry_after_s=1,
    ),
    AppError(ErrorCode.BODY_TOO_SLOW, "1000 bytes of the body came within 20 s; the least is 50000 bytes a second"),
    AppError(ErrorCode.BODY_TOO_LARGE, "the body is 300000000 bytes; the limit is 268435456 bytes", limit=268_435_456),
    AppError(
        ErrorCode.RATE_LIMITED,
        "the limit of this key is 60 requests a minute, and this request has 1; it fits in 1 s",
        kind="requests",
        limit=60,
        actual=1,
        retry_after_s=1,
    ),
    ImageError(ErrorCode.BUSY, "every image worker was taken for 10 s, the limit", retry_after_s=1).about(3, "a.png"),
    ImageError(ErrorCode.IMAGE_TOO_LARGE, "more than 33554432 bytes, the limit for one picture").about(1, "big.tif"),
    AppError(ErrorCode.DRAINING, "this process is ending; send the request again", retry_after_s=1),
    AppError(ErrorCode.INTERNAL, "this service failed; the log says why under this request id"),
)
_KEY_EXAMPLES: tuple[AppError, ...] = (
    AppError(ErrorCode.ADMIN_ONLY, "this takes the key of an admin"),
    AppError(ErrorCode.KEY_NOT_FOUND, "no key has such an id"),
)
_BATCH_EXAMPLES: tuple[AppError, ...] = (
    AppError(ErrorCode.BATCH_NOT_FOUND, "Message batch `msgbatch_1` not found.", batch_id="msgbatch_1"),
)
_OF_KEYS = frozenset(
    {
        *(ErrorCode.INVALID_REQUEST, ErrorCode.UNKNOWN_FIELD, ErrorCode.INVALID_KEY, ErrorCode.KEY_EXPIRED),
        *(ErrorCode.ADMIN_ONLY, ErrorCode.KEY_NOT_FOUND, ErrorCode.RATE_LIMITED, ErrorCode.INTERNAL),
        *(ErrorCode.ENDPOINT_NOT_ALLOWED, ErrorCode.MODEL_NOT_ALLOWED),
    }
)
_UPSTREAM_EXAMPLES: tuple[AppError, ...] = (
    UpstreamError(
        ErrorCode.UPSTREAM_ERROR,
        "This request would exceed the rate limit for your organization",
        status=429,
        error_type="rate_limit_error",
        request_id="req_011C",
    ),
    UpstreamError(
        ErrorCode.UPSTREAM_UNREACHABLE, "the Claude API could not be reached", status=502, error_type="api_error"
    ),
    UpstreamError(
        ErrorCode.UPSTREAM_TIMEOUT, "no answer from the Claude API within 600 s", status=504, error_type="timeout_error"
    ),
    UpstreamError(ErrorCode.UPSTREAM_ERROR, "Overloaded", status=529, error_type="overloaded_error"),
)
_BILLED: dict[str, Any] = {"usage": {"input_tokens": 4801, "output_tokens": 212}, "cost_usd": 0.011722}
_SCHEMA_EXAMPLE = AppError(
    ErrorCode.INVALID_SCHEMA, "schema: $.properties.total.type: 'numbr' is not valid", field="schema"
)
_READING_EXAMPLES: tuple[AppError, ...] = (
    _SCHEMA_EXAMPLE,
    AppError(
        ErrorCode.SCHEMA_REFUSED, "the Claude API refused the schema: The compiled grammar is too large", cost_usd=0
    ),
    AppError(
        ErrorCode.SCHEMA_MISMATCH,
        "the answer is not valid by the schema: $.total: 'twelve' is not of type 'number'",
        place="$.total",
        faults=["$.total: 'twelve' is not of type 'number'"],
        text='{"total": "twelve"}',
        **_BILLED,
    ),
    AppError(ErrorCode.ANSWER_REFUSED, "Claude declined to answer", stop_reason="refusal", **_BILLED),
    AppError(ErrorCode.ANSWER_CUT, "the answer was cut at max_tokens, 64", stop_reason="max_tokens", **_BILLED),
)
_SPENDING_ONLY = frozenset(
    {
        *(ErrorCode.BUDGET_EXHAUSTED, ErrorCode.MAX_COST_EXCEEDED, ErrorCode.RATE_LIMITED),
        *(ErrorCode.IDEMPOTENCY_CONFLICT, ErrorCode.IDEMPOTENCY_IN_PROGRESS),
    }
)


MESSAGES_BODY: OpenApi = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object", "description": "A request of the Messages API."},
                    "example": {
                        "model": "claude-sonnet-5-5",
                        "max_tokens": 1024,
                        "messages": [
                            {
                                "role": "user",
                                "content": [
                                    {
                                        "type": "image",
                                        "source": {
                                            "type": "base64",
                                            "media_type": "image/png",
                                            "data": "iVBORw0KGgo...",
                                        },
                                    },
                                    {"type": "text", "text": "What does it say?"},
                                ],
                            }
                        ],
                    },
                }
            },
        }
    }
}


IDEMPOTENCY_KEY: OpenApi = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            "description": "A repeat within 24 hours gets the first answer and spends nothing.",
        }
    ]
}


def page_limit(default: int, most: int) -> OpenApi:
    """The query parameter that says how many of a list a page shows."""
    return {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": most, "default": default},
    }


def body_of(fields: type[AnalyzeFields]) -> OpenApi:
    """The request body of a native endpoint: the same fields as a form and as JSON."""
    schema = fields.model_json_schema()
    properties: OpenApi = schema["properties"]
    passed: OpenApi = {
        "messages": {"type": "array", "items": {"type": "object"}, "description": "Earlier turns, Messages format."},
        "extra": {"type": "object", "description": "Any other field of the Messages API, merged as it is."},
    }
    file = {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "One part for each."}
    in_json = {
        "type": "object",
        "properties": {
            "data": {"type": "string", "description": "Base64, or a data: URI."},
            "name": {"type": "string", "description": "For the report."},
        },
    }
    form = {"type": "object", "properties": {"image": file, **properties, **passed}}
    json_body = {
        "type": "object",
        "properties": {"images": {"type": "array", "items": in_json}, **properties, **passed},
        "example": {"images": [{"data": "iVBORw0KGgo...", "name": "screen.png"}], "prompt": "What does it say?"},
    }
    return {
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": form}, "application/json": {"schema": json_body}},
        }
    }


def responses_with(
    model: type[BaseModel] | None,
    content: OpenApi,
    *,
    spends: bool = False,
    streams: bool = False,
    reads: bool = False,
    judges: bool = False,
) -> dict[int | str, OpenApi]:
    """Every answer of a route: the good one, and each error it can give with an example by its code.

    `reads` says that the answer of the model is read by a schema, `judges` that a schema is looked at and nothing read.
    """
    good: OpenApi = {"description": "Done.", "content": {**content, **(_STREAM if streams else {})}}
    if model is not None:
        good["model"] = model
    errors = [error for error in _EXAMPLES if spends or error.code not in _SPENDING_ONLY]
    about_data = _READING_EXAMPLES if reads else (_SCHEMA_EXAMPLE,) if judges else ()
    return {200: good, **_errors([*errors, *about_data, *_UPSTREAM_EXAMPLES])}


def managing(fields: type[BaseModel] | None = None) -> OpenApi:
    """What a route on keys says of itself: its JSON body, and its refusals."""
    answers = {"responses": _errors([error for error in (*_EXAMPLES, *_KEY_EXAMPLES) if error.code in _OF_KEYS])}
    if fields is None:
        return answers
    content = {"application/json": {"schema": fields.model_json_schema()}}
    return {**answers, "openapi_extra": {"requestBody": {"required": True, "content": content}}}


def relayed() -> dict[int | str, OpenApi]:
    """The answers of a drop-in route: the vendor's own, and the refusals that are ours."""
    good: OpenApi = {
        "description": "The vendor's answer, with the additions of this service.",
        "content": {"application/json": {}},
    }
    return {200: good, **_errors([*_EXAMPLES, *_UPSTREAM_EXAMPLES])}


def relayed_of_batch() -> dict[int | str, OpenApi]:
    """The answers of a drop-in route about one batch."""
    return {**relayed(), **_errors([*_EXAMPLES, *_BATCH_EXAMPLES, *_UPSTREAM_EXAMPLES])}


def _errors(errors: list[AppError]) -> dict[int | str, OpenApi]:
    """Errors grouped by status."""
    answers: dict[int | str, OpenApi] = {}
    for error in errors:
        status = Status(error.status, error.error_type) if isinstance(error, UpstreamError) else STATUSES[error.code]
        answer = answers.setdefault(
            status.http, {"description": status.error_type, "content": {"application/json": {"examples": {}}}}
        )
        examples: OpenApi = answer["content"]["application/json"]["examples"]
        examples[error.code.value] = {"value": error_body(error, "req_5f2c")}
    return answers
