"""POST /v1/estimate: what would be sent and what it would cost; no model is called."""

from typing import cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.pipeline import Stopwatch, estimate
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
    responses=responses_with(EstimateBody, ESTIMATE_EXAMPLE),
)
async def estimate_cost(request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf) -> Response:
    """Takes what `/v1/analyze` takes. `compare` adds a row for every known model, `exact` asks the vendor's counter."""
    watch = Stopwatch(services.clock.monotonic)
    received = await read_request(request, EstimateFields, settings, caller, services)
    watch.lap("receive")
    fields = cast("EstimateFields", received.fields)
    question = await received.vision_request()
    counting = await received.vision_request(counting=True) if fields.exact else None
    result = await until_disconnect(
        request.receive, lambda: estimate(question, services, watch, compare=fields.compare, exact=counting)
    )
    body = estimate_body(result, request.state.request_id, sandbox=services.sandbox)
    return Response(body.model_dump_json(), media_type=JSONResponse.media_type)
