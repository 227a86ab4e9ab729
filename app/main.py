"""create_app(settings): routers, middleware, error shape and lifespan put together."""

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
    return create_app(load_settings())


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
