"""GET /livez, GET /readyz: whether the loop answers, whether this process can do its work."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse

router = APIRouter(tags=["operations"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="The event loop answers")
async def livez() -> dict[str, str]:
    """Always 200; waits for nothing."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Ready for requests", responses={503: {"description": "Not started, or stopping."}})
async def readyz(request: Request) -> JSONResponse:
    """200 while requests are welcome."""
    ready = getattr(request.app.state, "services", None) is not None
    return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    """A person who opens the address in a browser finds the documentation."""
    return RedirectResponse("/docs")
