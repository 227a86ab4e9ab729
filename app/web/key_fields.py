"""The fields of keys, validated: what creates or changes one, over HTTP and on the command line alike."""

from dataclasses import fields as fields_of
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from app.domain import BudgetPeriod, KeyLimits
from app.pipeline import Key
from app.web.fields import in_utc

MAX_BUDGET_USD = 1_000_000
_MOST_A_MINUTE = 1_000_000
_MOST_TOKENS_A_MINUTE = 1_000_000_000

_LIMITS = frozenset(field.name for field in fields_of(KeyLimits))

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Budget = Annotated[Decimal, Field(ge=0, le=MAX_BUDGET_USD, decimal_places=9, json_schema_extra={"type": "number"})]
ModelId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
ModelIds = Annotated[list[ModelId], Field(min_length=1, max_length=100)]


_End = Annotated[AwareDatetime, AfterValidator(in_utc)]


class _KeyFields(BaseModel):
    """What both take, but for the name, which only a new key must have."""

    model_config = ConfigDict(extra="forbid")

    budget_usd: Annotated[Budget | None, Field(description="Most that it may spend in a period.")] = None
    budget_period: Annotated[
        BudgetPeriod, Field(description="A day or a month of UTC, or for good. Default: `total`.")
    ] = "total"
    requests_per_minute: Annotated[int | None, Field(ge=1, le=_MOST_A_MINUTE, strict=True)] = None
    images_per_minute: Annotated[int | None, Field(ge=1, le=_MOST_A_MINUTE, strict=True)] = None
    tokens_per_minute: Annotated[int | None, Field(ge=1, le=_MOST_TOKENS_A_MINUTE, strict=True)] = None
    models: Annotated[ModelIds | None, Field(description="All that it may use, as requests name them.")] = None
    expires_at: Annotated[_End | None, Field(description="RFC 3339, with a zone.")] = None
    admin: Annotated[bool, Field(strict=True, description="Whether it may manage keys.")] = False

    def applied_to(self, key: Key) -> Key:
        """The key with what was sent in place of what it had."""
        sent: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        limits: dict[str, Any] = {name: value for name, value in sent.items() if name in _LIMITS}
        others: dict[str, Any] = {name: value for name, value in sent.items() if name not in _LIMITS}
        if "models" in others and others["models"] is not None:
            others["models"] = frozenset(others["models"])
        return replace(key, limits=replace(key.limits, **limits), **others)


class KeyChange(_KeyFields):
    """What `PATCH /v1/keys/{id}` takes: what is not sent stays, null removes a limit."""

    name: Annotated[Name, Field(description="For reports; need not be unique.")] = ""


class KeyFields(_KeyFields):
    """What `POST /v1/keys` takes."""

    name: Annotated[Name, Field(description="For reports; need not be unique.")]
