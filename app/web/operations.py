"""GET /livez, GET /readyz: whether the loop answers, whether this process can do its work."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse

from app.pipeline import Services

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
    responses={503: {"description": "Not started, stopping, or without image workers."}},
)
async def readyz(request: Request) -> JSONResponse:
    """200 while requests are welcome and there is a worker for pictures, at work or free."""
    services: Services | None = getattr(request.app.state, "services", None)
    ready = services is not None and await services.imaging.ready()
    return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    """A person who opens the address in a browser finds the documentation."""
    return RedirectResponse("/docs")
