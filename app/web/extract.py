"""POST /v1/extract: data out of pictures, valid by the caller's JSON Schema."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Request, Response
from pydantic import Field

from app.pipeline import Extraction, Stopwatch, ask_for_data
from app.web.answers import AnswerBody, answer_body
from app.web.data import Asking, answered, composed, received
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.documentation import EXTRACT_EXAMPLE, IDEMPOTENCY_KEY, body_of, responses_with
from app.web.fields import ExtractFields
from app.web.idempotency import OnceOf

router = APIRouter(tags=["native"])


class ExtractBody(AnswerBody):
    """The answer of `/v1/extract`: that of `/v1/analyze`, with the data."""

    data: Annotated[Any, Field(description="Valid by the schema of the request.")]


@router.post(
    "/v1/extract",
    summary="Data out of images",
    openapi_extra={**body_of(ExtractFields), **IDEMPOTENCY_KEY},
    responses=responses_with(ExtractBody, EXTRACT_EXAMPLE, spends=True, streams=True, reads=True),
)
async def extract_data(
    request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf, once: OnceOf
) -> Response:
    """Data that is valid by the `schema`, with the answer that held it and what it cost.

    Takes what `/v1/analyze` takes. With `stream` the events are the same; `data` comes with `done`.
    """
    asking = Asking(request, services, settings, once, Stopwatch(services.clock.monotonic))
    understood = await received(asking, ExtractFields, caller)
    if isinstance(understood, Response):
        return understood
    fields = cast("ExtractFields", understood.fields)
    question = await ask_for_data(understood.question, fields.schema_text, services, structured=fields.structured)
    asked = await composed(asking, understood, question)

    def body(extraction: Extraction) -> ExtractBody:
        answer = answer_body(extraction.answer, request.state.request_id)
        return ExtractBody(**dict(answer), data=extraction.data)

    return await answered(asking, asked, body)
