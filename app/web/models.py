"""GET /v1/models and /v1/models/{id}: the vendor's, with what each model means for images."""

import re

from fastapi import APIRouter, Request, Response

from app.errors import AppError, ErrorCode, UpstreamError
from app.pipeline import Call, with_vision
from app.web.deps import CallerOf, ServicesOf
from app.web.documentation import relayed
from app.web.reading import forwarded_headers
from app.web.relay import passed_back, refused

router = APIRouter(tags=["drop-in"])


@router.get("/v1/models", summary="The vendor's models, with tier, limits and prices", responses=relayed())
async def list_models(request: Request, caller: CallerOf, services: ServicesOf) -> Response:
    """Paged as the vendor pages; each model has `vision`."""
    del caller
    return await _relayed(request, "/v1/models", services)


@router.get("/v1/models/{model_id}", summary="One model", responses=relayed())
async def get_model(request: Request, model_id: str, caller: CallerOf, services: ServicesOf) -> Response:
    """The vendor's entry, with `vision`."""
    del caller
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._:@-]{0,255}", model_id) is None:  # it becomes a part of a path
        raise AppError(ErrorCode.UNKNOWN_ROUTE, "no model has such an id", hint="GET /v1/models lists every model")
    return await _relayed(request, f"/v1/models/{model_id}", services)


async def _relayed(request: Request, path: str, services: ServicesOf) -> Response:
    try:
        reply = await services.upstream.send(Call("GET", path, forwarded_headers(request), request.url.query))
    except UpstreamError as error:
        return refused(error, request)
    reply.json_object()  # refuses what is no JSON object
    return Response(with_vision(reply.content, services), headers=passed_back(reply.headers))
