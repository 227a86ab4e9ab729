"""What a route asks for, as `Annotated` aliases. All are coroutines: FastAPI sends plain functions to a thread."""

import re
from typing import Annotated

from fastapi import Depends, Request

from app.domain import OPEN_ID, Caller
from app.errors import AppError, ErrorCode
from app.pipeline import Credentials, Services
from app.settings import Settings

_LOCAL_HOST = re.compile(r"(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)


async def _services(request: Request) -> Services:
    return request.app.state.services


async def _settings(request: Request) -> Settings:
    return request.app.state.settings


async def _caller(request: Request) -> Caller:
    """Who asks, told before a byte of the body is read.

    Raises:
        AppError: `invalid_key`, `key_expired`, `rate_limited`, `endpoint_not_allowed`.
    """
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-api-key", "").strip() or (bearer.strip() if scheme.lower() == "bearer" else None)
    address = request.client.host if request.client else ""
    services: Services = request.app.state.services
    with services.observer.step("authenticate"):
        caller = await services.access.authenticate(Credentials(key or None, request.headers.get("origin"), address))
    services.observer.authenticated(caller)
    if caller.id == OPEN_ID and not caller.by_token:
        _refuse_foreign_pages(request)
    _refuse_other_endpoints(request, caller)
    return caller


def endpoint_of(path: str) -> str:
    """What `endpoints` calls the route of that path: `/v1/files` for `/v1/files/{file_id}/content`."""
    return path.partition("/{")[0]


def _refuse_other_endpoints(request: Request, caller: Caller) -> None:
    endpoint = endpoint_of(request.scope["route"].path)
    if caller.endpoints is not None and endpoint not in caller.endpoints:
        raise AppError(
            ErrorCode.ENDPOINT_NOT_ALLOWED,
            f"this token may not use {endpoint}; it may use {', '.join(sorted(caller.endpoints))}",
            endpoints=sorted(caller.endpoints),
        )


async def _key_holder(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
    """Who asks, where that is with a key of its own.

    Raises:
        AppError: `endpoint_not_allowed`, a token cannot make tokens; or as `_caller`.
    """
    if caller.by_token:
        raise AppError(ErrorCode.ENDPOINT_NOT_ALLOWED, "a token cannot make tokens; send the key itself")
    return caller


async def _admin(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
    """Who asks, where that is an admin.

    Raises:
        AppError: `admin_only`, or as `_caller`.
    """
    if not caller.admin:
        raise AppError(ErrorCode.ADMIN_ONLY, "this takes the key of an admin", hint="a token is never an admin")
    return caller


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
            hint="set VISION_PROXY_ADMIN_KEY, or create a key, and send it as x-api-key",
        )


ServicesOf = Annotated[Services, Depends(_services)]
SettingsOf = Annotated[Settings, Depends(_settings)]
CallerOf = Annotated[Caller, Depends(_caller)]
KeyHolderOf = Annotated[Caller, Depends(_key_holder)]
AdminOf = Annotated[Caller, Depends(_admin)]
