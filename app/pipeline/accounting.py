"""reserve -> settle: what a request may cost is written down before it is sent, what it did cost once it has ended."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

from app.domain import Cost, Model, Usage
from app.errors import AppError, ErrorCode, UpstreamError
from app.ledger import RateLimit, Reservation, Settlement, WireAnswer
from app.pipeline.costing import estimate_tokens, largest_cost_usd, upper_bound_usd
from app.pipeline.ports import Services
from app.pipeline.reports import ImageReport
from app.pipeline.request import VisionRequest
from app.pipeline.stopwatch import Stopwatch

_GOOD = 200
_MOST_NAMED = 5


class Account:
    """What is known of the cost of one request, from before it is sent until it has ended.

    `rate_limits` are what is left of the caller's limits by the minute.
    """

    def __init__(self, request: VisionRequest, services: Services, watch: Stopwatch) -> None:
        """Nothing is written yet."""
        self._request = request
        self._services = services
        self._watch = watch
        self._id: str | None = None
        self._model: Model | None = None
        self._sent = False
        self._partly = False
        self._status: int | None = None
        self._usage: Usage = {}
        self._cost_usd: Decimal | None = None
        self._upstream_request_id: str | None = None
        self._images: Sequence[ImageReport] = ()
        self._answer: WireAnswer | None = None
        self.rate_limits: tuple[RateLimit, ...] = ()

    async def reserve(self, model: Model, image_tokens: int) -> None:
        """Write down the most that the request can cost; nothing where nobody is to be charged.

        Raises:
            AppError: `budget_exhausted`, `rate_limited`; `max_cost_exceeded` where a budget cannot be kept;
                `idempotency_conflict`, `idempotency_in_progress`.
        """
        request, services = self._request, self._services
        if not request.spenders:
            return
        reservation = Reservation(
            id=services.new_id("lr_"),
            at=services.clock.now(),
            spenders=request.spenders,
            endpoint=request.endpoint,
            model=model.id,
            bound_usd=bound_of(request, model, image_tokens, services),
            request_id=request.request_id,
            images=request.picture_count,
            tokens=estimate_tokens(request, image_tokens, None).total,
            claim=request.claim,
        )
        with services.observer.step("reserve"):
            self.rate_limits = await services.ledger.reserve(reservation)
        self._id, self._model = reservation.id, model

    def prepared(self, images: Sequence[ImageReport]) -> None:
        """What became of the pictures."""
        self._images = images

    def sending(self) -> None:
        """From here on money may be spent, and nothing of the request is needed but its facts."""
        self._sent = True
        self._request = self._request.without_bytes()

    def refused(self, error: UpstreamError) -> None:
        """The vendor answered with an error, which costs nothing."""
        if error.raw is not None:
            self._sent, self._status = False, error.raw.status
            self._upstream_request_id = error.request_id

    def billed(self, usage: Usage, cost: Cost | None, upstream_request_id: str | None, *, whole: bool) -> None:
        """What the vendor has said that it cost; nothing where it has not said.

        Of an answer that is not `whole` more may be billed: a stream counts its output tokens at the end alone, and
        what was read until then would be as good as free to whoever leaves just before it.
        """
        if usage:
            self._sent, self._status, self._partly = False, _GOOD, not whole
            self._usage, self._upstream_request_id = usage, upstream_request_id
            self._cost_usd = None if cost is None else cost.total_usd

    def answered(self, answer: WireAnswer) -> None:
        """What the client gets, whole; kept for whoever repeats the request under its Idempotency-Key."""
        self._answer = answer

    async def settle(self) -> None:
        """Write down what it came to; may be called where nothing was reserved.

        The answer waits for it only where somebody could miss it: a budget, `max_requests`, a repeat.
        """
        if self._id is None or self._model is None:
            return
        state = "unknown" if self._sent else "settled" if self._usage else "released"
        settlement = Settlement(
            state=state,
            status=self._status,
            cost_usd=self._cost_usd,
            usage=self._usage,
            upstream_request_id=self._upstream_request_id,
            images=self._request.picture_count,
            bytes_before=sum(image.original.size_bytes for image in self._images),
            bytes_after=sum(image.sent.size_bytes for image in self._images),
            timing_ms=self._watch.timing_ms(),
            claim=self._request.claim,
            answer=self._answer if state == "settled" else None,
            partly=self._partly,
        )
        self._services.observer.settled(self._model, settlement)
        settling = _settle(self._id, settlement, self._services)
        if is_awaited(self._request):
            await settling
        else:
            self._services.ledger.behind(settling)


async def _settle(reservation_id: str, settlement: Settlement, services: Services) -> None:
    with services.observer.step("settle"):
        await services.ledger.settle(reservation_id, settlement)


def is_awaited(request: VisionRequest) -> bool:
    """Whether another request of the same caller may be refused, or answered, by what this one comes to.

    Limits by the minute are not among it: nothing is ever given back to them.
    """
    limits = [spender.limits for spender in request.spenders]
    return request.claim is not None or any(
        one.budget_usd is not None or one.max_requests is not None for one in limits
    )


def bound_of(request: VisionRequest, model: Model, image_tokens: int, services: Services) -> Decimal:
    """The most that the request can cost, for the ledger; 0 where no price is known.

    Raises:
        AppError: `max_cost_exceeded`, no price is known and a budget has to be kept.
    """
    bound = upper_bound_usd(model, request, image_tokens, services)
    if bound is None:
        bound = largest_cost_usd(request, services)
    if bound is None and any(spender.limits.budget_usd is not None for spender in request.spenders):
        raise AppError(
            ErrorCode.MAX_COST_EXCEEDED,
            f"no price of {_named(model, request)} is known, so the budget of this key cannot be kept",
            hint="choose a model whose price is known; GET /v1/models shows them",
        )
    return bound or Decimal(0)


def _named(model: Model, request: VisionRequest) -> str:
    names = sorted(request.other_models)[:_MOST_NAMED]
    return " or ".join(name[:100] for name in (model.id, *names))


@asynccontextmanager
async def open_account(request: VisionRequest, services: Services, watch: Stopwatch) -> AsyncGenerator[Account]:
    """The account of a request, settled on exit, whatever happened."""
    account = Account(request, services, watch)
    del request  # this frame lives as long as the answer
    try:
        yield account
    finally:
        await account.settle()
