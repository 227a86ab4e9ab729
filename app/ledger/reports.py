"""What the ledger says of the past: single requests, and sums over them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from app.domain import Usage
from app.ledger.records import Outcome

GroupBy: TypeAlias = Literal["key", "model", "day", "endpoint"]
"""What requests are summed by; a day is one of UTC."""

EntryState: TypeAlias = Literal["reserved"] | Outcome
"""Where a request stands."""

TOKEN_FIELDS: Mapping[str, str] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_creation": "cache_creation_input_tokens",
}
"""The kinds of tokens in reports, and the fields of a `usage` that count them."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """How many tokens of each kind."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_creation: int = 0


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """The requests of one key (by its id), model, day (`2026-11-22`) or endpoint that are settled or unknown.

    `cost_usd` is what is known to have been billed. To it comes at most `unknown_usd`, which budgets count as spent,
    and what `unpriced` settled requests cost, of which no price is known.
    """

    name: str
    requests: int
    images: int
    tokens: Tokens
    cost_usd: Decimal
    unknown_usd: Decimal
    unpriced: int


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The groups by name, and the sum of them all, whose name is `total`."""

    groups: tuple[UsageGroup, ...]
    total: UsageGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of the ledger, or those of a batch on one model.

    `cost_usd` is None while it runs, where it is unknown, and where no price is.
    """

    id: str
    at: datetime
    key_id: str
    token_id: str | None
    endpoint: str
    model: str
    state: EntryState
    status: int | None
    request_id: str
    upstream_request_id: str | None
    images: int
    bytes_before: int
    bytes_after: int
    usage: Usage | None
    cost_usd: Decimal | None
    bound_usd: Decimal
    timing_ms: Mapping[str, float]
    settled_at: datetime | None
    requests: int = 1


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, newest first, and what to hand in as `after` for those that follow; None at the end."""

    entries: tuple[Entry, ...]
    next_page: str | None
