"""A whole answer of a native endpoint as it goes over the wire: its body, and the headers that go with it."""

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from app.domain import SANDBOX_HEADER
from app.pipeline import Answer, Services, WireAnswer
from app.web.rates import rate_limit_headers


def whole(body: BaseModel, answer: Answer, services: Services) -> WireAnswer:
    """The body as JSON, with what is left of the caller's limits and whether the sandbox answered."""
    headers = {"content-type": JSONResponse.media_type, **({SANDBOX_HEADER: "true"} if answer.sandbox else {})}
    headers |= rate_limit_headers(answer.rate_limits, services.clock.now())
    return WireAnswer(200, headers, body.model_dump_json().encode())
