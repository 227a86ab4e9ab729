"""/v1/keys: who may call, and how much; for admins alone."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.domain import BudgetPeriod
from app.pipeline import Key, NewKey
from app.web.answers import Usd
from app.web.deps import AdminOf, ServicesOf
from app.web.documentation import managing
from app.web.fields import read_fields
from app.web.key_fields import KeyChange, KeyFields

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class KeyBody(BaseModel):
    """A key as it is shown: all but the key itself."""

    id: str
    name: str
    admin: bool
    budget_usd: Usd | None
    budget_period: BudgetPeriod
    requests_per_minute: int | None
    images_per_minute: int | None
    tokens_per_minute: int | None
    models: list[str] | None
    expires_at: datetime | None
    created_at: datetime
    revoked_at: datetime | None


class NewKeyBody(KeyBody):
    """The answer to its creation."""

    key: Annotated[str, Field(description="What callers send. It is shown this once; only its hash is kept.")]


class KeysBody(BaseModel):
    """Every key, revoked ones too, the newest first."""

    keys: list[KeyBody]


@router.post("", summary="Create a key", **managing(KeyFields))
async def create_key(request: Request, admin: AdminOf, services: ServicesOf) -> NewKeyBody:
    """The key itself is in this answer and never again."""
    del admin
    fields = await read_fields(request, KeyFields)
    made = await services.access.create(fields.applied_to(Key(services.new_id("key_"), "", services.clock.now())))
    return new_key_body(made)


@router.get("", summary="Every key", **managing())
async def list_keys(admin: AdminOf, services: ServicesOf) -> KeysBody:
    """Revoked ones too, the newest first; tokens are not listed."""
    del admin
    return KeysBody(keys=[key_body(key) for key in await services.access.all()])


@router.get("/{key_id}", summary="One key", **managing())
async def get_key(key_id: str, admin: AdminOf, services: ServicesOf) -> KeyBody:
    """Its name and limits."""
    del admin
    return key_body(await services.access.get(key_id))


@router.patch("/{key_id}", summary="Change a key", **managing(KeyChange))
async def change_key(request: Request, key_id: str, admin: AdminOf, services: ServicesOf) -> KeyBody:
    """What is not sent stays; null removes a limit. Other processes follow within five seconds."""
    del admin
    fields = await read_fields(request, KeyChange)
    return key_body(await services.access.change(key_id, fields.applied_to))


@router.delete("/{key_id}", summary="Revoke a key", **managing())
async def revoke_key(key_id: str, admin: AdminOf, services: ServicesOf) -> KeyBody:
    """For good, with every token made from it; other processes follow within five seconds."""
    del admin
    return key_body(await services.access.revoke(key_id))


def new_key_body(made: NewKey) -> NewKeyBody:
    """The one answer that holds the key itself."""
    return NewKeyBody(**key_body(made.key).model_dump(), key=made.secret)


def key_body(key: Key) -> KeyBody:
    """The key as it is shown."""
    limits = key.limits
    return KeyBody(
        id=key.id,
        name=key.name,
        admin=key.admin,
        budget_usd=limits.budget_usd,
        budget_period=limits.budget_period,
        requests_per_minute=limits.requests_per_minute,
        images_per_minute=limits.images_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        models=None if key.models is None else sorted(key.models),
        expires_at=key.expires_at,
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )
