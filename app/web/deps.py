"""What a route asks for, as `Annotated` aliases."""

from typing import Annotated

from fastapi import Depends, Request

from app.domain import Caller
from app.pipeline import Services
from app.settings import Settings


def _services(request: Request) -> Services:
    return request.app.state.services


def _settings(request: Request) -> Settings:
    return request.app.state.settings


def _caller(request: Request, services: Annotated[Services, Depends(_services)]) -> Caller:
    """Who asks, told before a byte of the body is read.

    Raises:
        AppError: `invalid_key`.
    """
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else None)
    return services.access.authenticate(key or None)


ServicesOf = Annotated[Services, Depends(_services)]
SettingsOf = Annotated[Settings, Depends(_settings)]
CallerOf = Annotated[Caller, Depends(_caller)]
