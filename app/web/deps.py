"""What a route asks for, as `Annotated` aliases. All are coroutines: FastAPI sends plain functions to a thread."""

import re
from typing import Annotated

from fastapi import Depends, Request

from app.domain import Caller
from app.errors import AppError, ErrorCode
from app.pipeline import Services
from app.settings import Settings

_LOCAL_HOST = re.compile(r"(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)


async def _services(request: Request) -> Services:
    return request.app.state.services


async def _settings(request: Request) -> Settings:
    return request.app.state.settings


async def _caller(
    request: Request,
    services: Annotated[Services, Depends(_services)],
    settings: Annotated[Settings, Depends(_settings)],
) -> Caller:
    """Who asks, told before a byte of the body is read.

    Raises:
        AppError: `invalid_key`.
    """
    if settings.admin_key is None:
        _refuse_foreign_pages(request)
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-api-key", "").strip() or (bearer.strip() if scheme.lower() == "bearer" else None)
    return services.access.authenticate(key or None)


def _refuse_foreign_pages(request: Request) -> None:
    """Nothing, where no key is needed and no web page of another site is asking.

    A service that is open on loopback is within reach of every page in a browser on the same machine: across origins,
    or under a name of the page's own that leads to 127.0.0.1.

    Raises:
        AppError: `invalid_key`.
    """
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    own = origin is None or origin == f"{request.url.scheme}://{host}"
    if not own or _LOCAL_HOST.fullmatch(host) is None:
        raise AppError(
            ErrorCode.INVALID_KEY,
            "without a key this service answers no web page of another origin and no other host name than localhost",
            hint="set VISION_PROXY_ADMIN_KEY and send it as x-api-key",
        )


ServicesOf = Annotated[Services, Depends(_services)]
SettingsOf = Annotated[Settings, Depends(_settings)]
CallerOf = Annotated[Caller, Depends(_caller)]
