"""GET /v1/usage and /v1/usage/requests: who spent what; a plain key sees its own."""

import csv
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from io import StringIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.domain import ENVIRONMENT_ID, OPEN_ID, Caller
from app.errors import AppError, ErrorCode
from app.pipeline import Key, UsageGroup, UsageReport
from app.web.answers import Usd, dollars, is_absent
from app.web.deps import CallerOf, ServicesOf
from app.web.fields import UtcInstant

MOST_ENTRIES = 1_000

From = Annotated[UtcInstant | None, Query(alias="from", description="From this instant on, inclusive. Default: ever.")]
To = Annotated[UtcInstant | None, Query(description="Until this instant, exclusive. Default: now.")]
OfKey = Annotated[
    str | None,
    Query(
        max_length=64,
        pattern=r"^[^\x00]*$",  # PostgreSQL takes no such text
        description="Only this key, by its id. A plain key sees its own.",
    ),
]

_REFUSED: dict[int | str, dict[str, Any]] = {"4XX": {"description": "A refusal, in the one shape of all errors."}}

router = APIRouter(tags=["usage"])


class _OfTheLedger(BaseModel):
    """A body whose fields are those of a value of the ledger."""

    model_config = ConfigDict(from_attributes=True)


class TokensBody(_OfTheLedger):
    """Tokens by kind."""

    input: int
    output: int
    cache_read: int
    cache_creation: int


class SumBody(_OfTheLedger):
    """Requests that are settled, or whose end nobody knows, and what is known to have been billed for them."""

    requests: int
    images: int
    tokens: TokensBody
    cost_usd: Usd
    unknown_usd: Annotated[Usd, Field(description="The most that requests of unknown end may have cost on top.")]
    unpriced: Annotated[int, Field(description="Settled requests of which no price is known.")]


class GroupBody(SumBody):
    """The sum of one key, model, day or endpoint; `id` is a key's, whose name is in `key`."""

    key: str
    id: Annotated[str | None, Field(exclude_if=is_absent)] = None


class UsageBody(BaseModel):
    """The groups, and the sum of them all."""

    groups: list[GroupBody]
    total: SumBody


class EntryBody(_OfTheLedger):
    """One request of the ledger."""

    id: str
    at: datetime
    key: Annotated[str, Field(validation_alias="key_id")]
    token: Annotated[str | None, Field(validation_alias="token_id")]
    endpoint: str
    model: str
    state: Literal["reserved", "settled", "released", "unknown"]
    status: int | None
    request_id: str
    upstream_request_id: str | None
    requests: Annotated[int, Field(description="More than one where it is the share of a batch on one model.")]
    images: int
    bytes_before: int
    bytes_after: int
    usage: dict[str, object] | None
    cost_usd: Usd | None
    bound_usd: Usd
    timing_ms: dict[str, float]


class LedgerBody(BaseModel):
    """A page of the ledger, newest first."""

    requests: list[EntryBody]
    next_page: str | None


@router.get("/v1/usage", summary="What was spent", responses=_REFUSED)
async def usage(
    caller: CallerOf,
    services: ServicesOf,
    since: From = None,
    to: To = None,
    key: OfKey = None,
    group_by: Literal["key", "model", "day", "endpoint"] = "key",
) -> UsageBody:
    """Sums by key, model, day of UTC or endpoint."""
    report = await services.ledger.usage(_keys(caller, key), since, to, group_by=group_by)
    return usage_body(report, await services.access.all() if group_by == "key" else None)


@router.get(
    "/v1/usage/requests", summary="The ledger, request by request", response_model=LedgerBody, responses=_REFUSED
)
async def requests(  # noqa: PLR0913 - the filters of the contract
    request: Request,
    caller: CallerOf,
    services: ServicesOf,
    *,
    limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = 100,
    page: Annotated[str | None, Query(max_length=200, description="`next_page` of the page before.")] = None,
    state: Annotated[Literal["reserved", "settled", "released", "unknown"] | None, Query()] = None,
    key: OfKey = None,
    since: From = None,
    to: To = None,
) -> Response:
    """Newest first; CSV with `accept: text/csv`, the next page then in the header `x-next-page`."""
    found = await services.ledger.page(
        state=state,
        key_ids=_keys(caller, key),
        since=since,
        until=to,
        limit=limit,
        after=page,
    )
    body = LedgerBody(requests=[EntryBody.model_validate(entry) for entry in found.entries], next_page=found.next_page)
    if "text/csv" not in request.headers.get("accept", ""):
        return Response(body.model_dump_json(), media_type="application/json")
    following = {} if found.next_page is None else {"x-next-page": found.next_page}
    return Response(ledger_csv(body.requests), media_type="text/csv", headers=following)


def usage_body(report: UsageReport, keys: Iterable[Key] | None) -> UsageBody:
    """The report as it is told; with `keys`, its groups are theirs and have their names."""
    groups = [_group(group, None if keys is None else _names(keys)) for group in report.groups]
    return UsageBody(groups=groups, total=SumBody.model_validate(report.total))


def _names(keys: Iterable[Key]) -> dict[str, str]:
    """What the keys are called, by their ids."""
    return {ENVIRONMENT_ID: "admin", OPEN_ID: "open", **{key.id: key.name for key in keys}}


def _group(group: UsageGroup, names: Mapping[str, str] | None) -> GroupBody:
    """The sum of a group; `names` are of keys, where it is one of a key."""
    key = {"key": group.name} if names is None else {"key": names.get(group.name, group.name), "id": group.name}
    return GroupBody.model_validate({**SumBody.model_validate(group).model_dump(), **key})


def _keys(caller: Caller, wanted: str | None) -> tuple[str, ...] | None:
    """Whose requests are shown; None is everybody's.

    Raises:
        AppError: `admin_only` where a plain key asks for another's; `endpoint_not_allowed` for a frontend's token.
    """
    if caller.by_token:
        raise AppError(ErrorCode.ENDPOINT_NOT_ALLOWED, "a token sees no usage", hint="ask with the key that made it")
    if caller.admin:
        return None if wanted is None else (wanted,)
    if wanted not in {None, caller.id}:
        raise AppError(ErrorCode.ADMIN_ONLY, "a plain key sees its own requests only", hint="ask with an admin key")
    return (caller.id,)


def ledger_csv(entries: Iterable[EntryBody], *, head: bool = True) -> str:
    """One line a request; `usage` and `timing_ms` as JSON."""
    written = StringIO()
    writer = csv.DictWriter(written, list(EntryBody.model_fields))
    if head:
        writer.writeheader()
    for entry in entries:
        row = entry.model_dump()
        for name in ("usage", "timing_ms"):
            row[name] = json.dumps(row[name])
        for name in ("cost_usd", "bound_usd"):
            row[name] = None if row[name] is None else f"{dollars(row[name]):.9f}"
        writer.writerow({name: no_formula(value) for name, value in row.items()})
    return written.getvalue()


def no_formula(value: object) -> object:
    """The value as a spreadsheet shows it and does not run it: a model's name is whatever the caller wrote."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
