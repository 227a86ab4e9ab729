"""reserve -> send of a batch: what its requests may cost, added up by model, and written down before it goes.

A row of the ledger has one model, so a batch has a row for each of its models; what settles them are its results.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

import anyio

from app.domain import BatchShare
from app.errors import UpstreamError
from app.ledger import Claim, RateLimit, Reservation, Settlement, WireAnswer
from app.pipeline.accounting import bound_of
from app.pipeline.costing import estimate_tokens
from app.pipeline.drop_in import RequestPolicy
from app.pipeline.ports import Services
from app.pipeline.reports import ImageReport
from app.pipeline.request import VisionRequest


@dataclass(frozen=True, slots=True)
class ModelShare:
    """The requests of a batch on one model, added up. `tokens` are the estimated ones of their input."""

    model: str
    bound_usd: Decimal = Decimal(0)
    requests: int = 0
    images: int = 0
    tokens: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


class BatchTally:
    """Adds up what the requests of a batch may cost, at the prices of batches."""

    def __init__(self, services: Services) -> None:
        """Nothing is added yet."""
        self._services = services
        self._shares: dict[str, ModelShare] = {}

    @property
    def shares(self) -> tuple[ModelShare, ...]:
        """The sums, by the name of the model."""
        return tuple(self._shares[model] for model in sorted(self._shares))

    def add(self, request: VisionRequest, image_tokens: int = 0, images: Sequence[ImageReport] = ()) -> None:
        """Add a request.

        Raises:
            AppError: `max_cost_exceeded`, no price is known and a budget cannot be kept.
        """
        model = self._services.catalog.find(request.model)
        batched = replace(request, billed_as={**request.billed_as, "service_tier": "batch"})
        bound_usd = bound_of(batched, model, image_tokens, self._services)
        share = self._shares.get(model.id, ModelShare(model.id))
        self._shares[model.id] = ModelShare(
            model.id,
            share.bound_usd + bound_usd,
            share.requests + 1,
            share.images + request.picture_count,
            share.tokens + estimate_tokens(request, image_tokens, None).total,
            share.bytes_before + sum(image.original.size_bytes for image in images),
            share.bytes_after + sum(image.sent.size_bytes for image in images),
        )


class BatchAccount:
    """What has been reserved for a batch, until it is the vendor's. Made by `open_batch_account`.

    `rate_limits` are what is left of the caller's limits by the minute.
    """

    def __init__(self) -> None:
        """Nothing is reserved."""
        self.shares: tuple[BatchShare, ...] = ()
        self.rate_limits: tuple[RateLimit, ...] = ()
        self._claim: Claim | None = None
        self._sent = False
        self._status: int | None = None
        self._upstream_request_id: str | None = None

    def sending(self) -> None:
        """From here on money may be spent."""
        self._sent = True

    def refused(self, error: UpstreamError) -> None:
        """The vendor answered with an error, which costs nothing."""
        if error.raw is not None:
            self._sent, self._status = False, error.raw.status
            self._upstream_request_id = error.request_id

    async def kept(self, answer: WireAnswer, services: Services) -> None:
        """The batch is remembered: its results will settle what is reserved, a repeat gets that answer."""
        shares, self.shares = self.shares, ()
        if shares and self._claim is not None:
            await services.ledger.keep_answer(shares[0].reservation_id, self._claim, answer)

    async def reserve(self, shares: Sequence[ModelShare], policy: RequestPolicy, services: Services) -> None:
        """Write down the most that the batch can cost, all of it or nothing.

        Raises:
            AppError: `budget_exhausted`, `rate_limited`, `idempotency_conflict`, `idempotency_in_progress`.
        """
        at = services.clock.now()
        reservations = [
            Reservation(
                id=services.new_id("lr_"),
                at=at,
                spenders=policy.spenders,
                endpoint=policy.endpoint,
                model=share.model,
                bound_usd=share.bound_usd,
                request_id=policy.request_id,
                images=share.images,
                tokens=share.tokens,
                requests=share.requests,
                claim=None if number else policy.claim,
            )
            for number, share in enumerate(shares)
        ]
        self.rate_limits = await services.ledger.reserve(*reservations)
        self._claim = policy.claim
        self.shares = tuple(
            BatchShare(one.id, share.model, share.images, share.bytes_before, share.bytes_after)
            for one, share in zip(reservations, shares, strict=True)
        )

    async def close(self, services: Services) -> None:
        """Settle what no batch will settle: nothing was spent, or nobody knows."""
        for number, share in enumerate(self.shares):
            settlement = Settlement(
                state="unknown" if self._sent else "released",
                status=self._status,
                cost_usd=None,
                usage={},
                upstream_request_id=self._upstream_request_id,
                images=share.images,
                bytes_before=share.bytes_before,
                bytes_after=share.bytes_after,
                timing_ms={},
                claim=None if number else self._claim,
            )
            await settle_share(share, settlement, services)


async def settle_share(share: BatchShare, settlement: Settlement, services: Services) -> None:
    """Settle a share; it is counted once, however often it is asked for."""
    if await services.ledger.settle(share.reservation_id, settlement):
        services.observer.settled(services.catalog.find(share.model), settlement)


@asynccontextmanager
async def open_batch_account(
    shares: Sequence[ModelShare], policy: RequestPolicy, services: Services
) -> AsyncGenerator[BatchAccount]:
    """The account of a batch, reserved where somebody is to be charged; closed on exit, whatever happened.

    Raises:
        AppError: as `BatchAccount.reserve`; nothing is reserved.
    """
    account = BatchAccount()
    if shares and policy.spenders:
        await account.reserve(shares, policy, services)
    try:
        yield account
    finally:
        with anyio.CancelScope(shield=True):
            await account.close(services)
