"""create_app(settings): routers, middleware, error shape and lifespan put together."""

import ctypes
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app.services import new_id, open_services
from app.settings import Settings, load_settings
from app.web import analyze, batches, estimate, files, messages, models, normalize, operations
from app.web.documentation import DESCRIPTION
from app.web.errors import add_error_handlers
from app.web.middleware import Marks

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 1_048_576

_log = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """The service, to be run by an ASGI server. /docs works without reaching another host."""
    app = FastAPIOffline(
        title="vision-proxy",
        version="0.1.0",
        description=DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name whatever host the client claims
        lifespan=_lifespan,
    )
    app.state.settings = settings
    for module in (analyze, estimate, normalize, messages, batches, models, files, operations):
        app.include_router(module.router)
    add_error_handlers(app)
    app.add_middleware(Marks, new_id=new_id, sandbox=settings.sandbox)
    return app


def create_app_from_environment() -> FastAPI:
    """The service with the settings of the environment; what uvicorn calls in each worker."""
    _return_freed_memory()
    return create_app(load_settings())


def _return_freed_memory() -> None:
    """Have glibc give large pieces back to the machine when they are freed, whichever thread freed them.

    Source: mallopt(3). Without it the service keeps, as its own, most of what it held at its busiest.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_ARENA_MAX, 2)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    settings: Settings = app.state.settings
    if settings.admin_key is None:
        _log.warning("no key is configured: every caller that reaches %s is served", settings.host)
    if settings.sandbox:
        _log.warning("SANDBOX: no ANTHROPIC_API_KEY is set; answers are measured, not understood; no money is spent")
    async with open_services(settings) as services:
        app.state.services = services
        yield
        app.state.services = None
