"""POST /v1/estimate: what would be sent and what it would cost; no model is called."""

from dataclasses import replace
from typing import cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.errors import AppError, ErrorCode
from app.pipeline import LOCATE_SCHEMA, Question, Services, Stopwatch, ask_for_data, ask_where, estimate
from app.web.answers import EstimateBody, estimate_body
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.disconnect import until_disconnect
from app.web.documentation import ESTIMATE_EXAMPLE, body_of, responses_with
from app.web.fields import EstimateFields
from app.web.reading import read_request

router = APIRouter(tags=["native"])


@router.post(
    "/v1/estimate",
    summary="What would be sent and what it would cost",
    openapi_extra=body_of(EstimateFields),
    responses=responses_with(EstimateBody, ESTIMATE_EXAMPLE, judges=True),
)
async def estimate_cost(request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf) -> Response:
    """Takes what `/v1/analyze` takes. `compare` adds a row for every known model, `exact` asks the vendor's counter.

    With a `schema` it is about `/v1/extract`, with a `target` about `/v1/locate`: a second turn is in the bound.
    """
    watch = Stopwatch(services.clock.monotonic)
    received = await read_request(request, EstimateFields, settings, caller, services)
    watch.lap("receive")
    fields = cast("EstimateFields", received.fields)
    received = replace(received, question=await _asked(received.question, fields, services))
    question = await received.vision_request()
    counting = await received.vision_request(counting=True) if fields.exact else None
    result = await until_disconnect(
        request.receive, lambda: estimate(question, services, watch, compare=fields.compare, exact=counting)
    )
    body = estimate_body(result, request.state.request_id, sandbox=services.sandbox)
    return Response(body.model_dump_json(), media_type=JSONResponse.media_type)


async def _asked(question: Question, fields: EstimateFields, services: Services) -> Question:
    """The question as the endpoint would send it that takes such fields. Raises as `ask_for_data`.

    Raises:
        AppError: `invalid_request`, the fields are those of two endpoints.
    """
    if fields.target is not None and fields.schema_text is not None:
        message = "schema and target: send one of them; no endpoint takes both"
        raise AppError(ErrorCode.INVALID_REQUEST, message, field="target")
    if fields.target is not None:
        return (await ask_for_data(ask_where(question, fields.target), LOCATE_SCHEMA, services)).question
    if fields.schema_text is None:
        return question
    return (await ask_for_data(question, fields.schema_text, services, structured=fields.structured)).question
