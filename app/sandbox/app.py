"""The ASGI application: which routes there are and how an error is told."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.sandbox import batches, control, files, messages, models
from app.sandbox.attendance import Attendance, visit_of
from app.sandbox.errors import SandboxError, error_body, not_found
from app.sandbox.state import State


def create_sandbox(state: State | None = None) -> ASGIApp:
    """A sandbox, by default a fresh one: empty journal and prompt cache, no file, batch or fault counted yet."""
    state = state or State()
    application = Starlette(
        routes=[
            Route("/livez", _live),
            *control.routes(state),
            *batches.routes(state),
            *files.routes(state),
            *messages.routes(state),
            *models.routes(state),
        ],
        exception_handlers={
            SandboxError: _tell_refusal,
            HTTPException: _tell_unknown_route,
            Exception: _tell_bug,
        },
    )
    application.router.redirect_slashes = False
    return Attendance(application, state.journal)


async def _live(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _tell_refusal(request: Request, error: Exception) -> Response:
    if not isinstance(error, SandboxError):
        raise error
    return JSONResponse(
        error_body(error, visit_of(request).request_id), status_code=error.status, headers=dict(error.headers)
    )


async def _tell_unknown_route(request: Request, _error: Exception) -> Response:
    return await _tell_refusal(request, not_found("Not Found"))


async def _tell_bug(request: Request, _error: Exception) -> Response:
    return await _tell_refusal(request, SandboxError(500, "api_error", "Internal server error"))
