"""What is handed to the ledger, and what it says of limits and budgets."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from app.domain import BudgetPeriod, Spender, Usage

RateKind: TypeAlias = Literal["requests", "images", "tokens"]
"""What is counted by the minute."""

MOST_KEPT_BYTES = 16 * 1024 * 1024
"""Of one answer: more than what any model says in one, also as the events of a stream."""

Outcome: TypeAlias = Literal["settled", "released", "unknown"]
"""How a request ended: at a known end, with nothing spent, or with anything up to its bound."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An Idempotency-Key in use: whose it is, and the digest of what was asked under it."""

    owner: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """An answer as it goes to the client: status, headers, and all bytes of the body."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is about to be spent. `spenders` are the key and then, if any, the token made from it.

    `bound_usd` is the most that it can cost; `tokens` are the estimated input tokens that count by the minute.
    `requests` is how many requests of the vendor's it stands for: more than one in a batch.
    """

    id: str
    at: datetime
    spenders: tuple[Spender, ...]
    endpoint: str
    model: str
    bound_usd: Decimal
    request_id: str
    images: int
    tokens: int
    requests: int = 1
    claim: Claim | None = None

    def __post_init__(self) -> None:
        """Hold what the arithmetic relies on.

        Raises:
            ValueError: nobody spends, or something that is counted is negative or no number.
        """
        if not 1 <= len(self.spenders) <= 2:  # noqa: PLR2004 - the key, and the token
            raise ValueError(f"{len(self.spenders)} spenders; a key, or a key and its token, can spend")
        if not self.bound_usd.is_finite() or min(self.bound_usd, self.images, self.tokens, self.requests) < 0:
            raise ValueError(
                f"{self.bound_usd} USD, {self.requests} requests, {self.images} images, {self.tokens} tokens: "
                "none may be negative"
            )


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a request. A `cost_usd` of None is a price that nobody knows: it counts as 0 and is told as null.

    `images` are those sent on; `status` is what the caller was answered; `upstream_request_id` is the vendor's.
    `claim` is that of the reservation, and `answer` is kept for it; without one its key is free again.
    `partly` says that the vendor may bill more than it has reported: then budgets count the whole bound.
    """

    state: Outcome
    status: int | None
    cost_usd: Decimal | None
    usage: Usage
    upstream_request_id: str | None
    images: int
    bytes_before: int
    bytes_after: int
    timing_ms: Mapping[str, float]
    claim: Claim | None = None
    answer: WireAnswer | None = None
    partly: bool = False


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What is left of a limit by the minute, after this request; at `reset_at` it is whole again."""

    kind: RateKind
    limit: int
    remaining: int
    reset_at: datetime


@dataclass(frozen=True, slots=True)
class Spending:
    """What a key or token has spent in its current period, and what its running requests may still spend.

    `renews_at` is None where the period is `total`; `requests` are all but the released ones.
    """

    period: BudgetPeriod
    budget_usd: Decimal | None
    reserved_usd: Decimal
    settled_usd: Decimal
    requests: int
    renews_at: datetime | None
