"""GET /livez, GET /readyz, GET /metrics: whether the loop answers, whether this process can work, what it has done."""

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.pipeline import Observer, Services
from app.web.draining import Drain

router = APIRouter(tags=["operations"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="The event loop answers")
async def livez() -> dict[str, str]:
    """Always 200; waits for nothing."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    summary="Ready for requests",
    responses={503: {"description": "Not started, stopping, without image workers, or without its database."}},
)
async def readyz(request: Request) -> JSONResponse:
    """200 while requests are welcome, pictures have a worker, at work or free, and money can be written down."""
    drain: Drain = request.app.state.drain
    if drain.begun:
        return JSONResponse({"status": "draining"}, 503)
    reason = await _lack(getattr(request.app.state, "services", None))
    if reason is None:
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "not ready", "reason": reason}, 503)


async def _lack(services: Services | None) -> str | None:
    if services is None:
        return "starting or stopping"
    return await services.ledger.trouble() if await services.imaging.ready() else "no image worker"


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}},
)
async def metrics(request: Request) -> Response:
    """The sums over all server processes; holds no key, no id, and nothing that a client made up."""
    observer: Observer = request.app.state.observer
    observer.metrics.look()
    # a limiter of its own: the threads that all share may be busy with pictures
    text = await to_thread.run_sync(observer.metrics.exposition, limiter=CapacityLimiter(1))
    return Response(text, media_type="text/plain; version=0.0.4")
