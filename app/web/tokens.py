"""POST /v1/tokens: short-lived tokens for browsers and phones, so that no frontend ever holds a key."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.domain import Caller, KeyLimits
from app.errors import AppError, ErrorCode
from app.pipeline import Key, refuse_other_models
from app.web.answers import Usd
from app.web.deps import KeyHolderOf, ServicesOf, endpoint_of
from app.web.documentation import managing
from app.web.fields import read_fields
from app.web.key_fields import Budget, ModelIds

router = APIRouter(tags=["keys"])

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_NOT_FOR_TOKENS = ("/v1/keys", "/v1/tokens")


class TokenFields(BaseModel):
    """What `POST /v1/tokens` takes."""

    model_config = ConfigDict(extra="forbid")

    ttl_s: Annotated[int, Field(ge=60, le=3_600, strict=True, description="How long it is good for, in seconds.")]
    requests: Annotated[
        int | None, Field(ge=1, le=1_000_000, strict=True, description="How many requests it may make in all.")
    ] = None
    budget_usd: Annotated[Budget | None, Field(description="Most that it may spend in all.")] = None
    models: Annotated[ModelIds | None, Field(description="Of those that the key may use. Default: all.")] = None
    endpoints: Annotated[
        list[str] | None,
        Field(min_length=1, max_length=50, description="Such as `/v1/analyze`. Default: all that the key may use."),
    ] = None
    origin: Annotated[
        str | None,
        StringConstraints(max_length=255, to_lower=True),
        Field(description="The only one whose pages may use it, such as `https://app.example`."),
    ] = None


class TokenBody(BaseModel):
    """A new token; it is shown this once."""

    id: str
    token: Annotated[str, Field(description="Sent like a key.")]
    expires_at: datetime
    requests: int | None
    budget_usd: Usd | None
    models: list[str] | None
    endpoints: list[str] | None
    origin: str | None


@router.post("/v1/tokens", summary="A short-lived token for a frontend", **managing(TokenFields))
async def create_token(request: Request, caller: KeyHolderOf, services: ServicesOf) -> TokenBody:
    """It can do no more than the key that made it, dies with it, and spends on it."""
    fields = await read_fields(request, TokenFields)
    for model in fields.models or ():
        refuse_other_models(model, {}, caller.models)
    _refuse_unknown(fields.endpoints or (), request)
    _refuse_no_origin(fields.origin)
    token = _token(fields, services.new_id("token_"), services.clock.now(), caller)
    made = await services.access.create_token(token)
    return TokenBody(
        id=token.id,
        token=made.secret,
        expires_at=services.clock.now() if token.expires_at is None else token.expires_at,
        requests=fields.requests,
        budget_usd=fields.budget_usd,
        models=fields.models,
        endpoints=fields.endpoints,
        origin=fields.origin,
    )


def _token(fields: TokenFields, token_id: str, now: datetime, caller: Caller) -> Key:
    token = Key(token_id, f"token of {caller.name}", now, parent_id=caller.id)
    return replace(
        token,
        limits=KeyLimits(budget_usd=fields.budget_usd, max_requests=fields.requests),
        models=None if fields.models is None else frozenset(fields.models),
        endpoints=None if fields.endpoints is None else frozenset(fields.endpoints),
        origin=fields.origin,
        expires_at=now + timedelta(seconds=fields.ttl_s),
    )


def _refuse_unknown(endpoints: Iterable[str], request: Request) -> None:
    """Nothing, where tokens can be used on all of them."""
    paths = {endpoint_of(path) for path in request.app.openapi()["paths"] if path.startswith("/v1/")}
    known = sorted(paths.difference(_NOT_FOR_TOKENS))
    for endpoint in endpoints:
        if endpoint not in known:
            raise AppError(
                ErrorCode.INVALID_REQUEST,
                f"endpoints: {endpoint[:100]!r} is none that a token can be for; those are {', '.join(known)}",
                field="endpoints",
            )


def _refuse_no_origin(origin: str | None) -> None:
    if origin is not None and _ORIGIN.fullmatch(origin) is None:
        message = "origin: it must be as browsers send it, https://HOST or https://HOST:PORT, without a path"
        raise AppError(ErrorCode.INVALID_REQUEST, message, field="origin")
