"""The main path: plan -> bound -> normalize -> call -> price. One request's whole story, told once."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

from app.domain import Cost, Json, Usage
from app.errors import AppError, ErrorCode
from app.imaging.plan import bounds_for, plan_image
from app.imaging.tokens import billed_tokens
from app.ledger import RateLimit, WireAnswer
from app.pipeline.billing import cost_of
from app.pipeline.collecting import collect
from app.pipeline.costing import estimate_for, estimate_tokens
from app.pipeline.filing import told_by_our_ids
from app.pipeline.ports import Services
from app.pipeline.preparing import (
    PlannedImage,
    all_reports,
    plan_images,
    prepare_images,
    request_notices,
    request_pieces,
)
from app.pipeline.ready import COUNT_TOKENS, MESSAGES, Ready, bill, call_mended, ready_to_send, streaming
from app.pipeline.reports import Answer, Estimate, ImageReport, ModelEstimate, SentImage
from app.pipeline.request import VisionRequest
from app.pipeline.stopwatch import Stopwatch
from app.pricing import PRICES_AS_OF
from app.upstream import MessageBuilder
from app.upstream.calls import Call
from app.upstream.event_stream import EventStream
from app.upstream.failures import unreachable, unreadable


async def answer(
    request: VisionRequest, services: Services, watch: Stopwatch, render: Callable[[Answer], WireAnswer]
) -> WireAnswer:
    """Claude's answer, priced and rendered: before it is settled, so that it is kept with what it cost or not at all.

    Raises:
        AppError: a picture or a limit in the way; nothing was spent.
        UpstreamError: what the Claude API said instead.
    """
    async with ready_to_send(request, services, watch) as first:
        watch.lap("normalize")
        ready, reply = await call_mended(first, services, lambda ready: services.upstream.send(ready.call(MESSAGES)))
        watch.lap("upstream")
        message = reply.json_object()
        bill(ready, message, reply.request_id, services)
        answer = render(answer_of(ready, message, reply.request_id, services, watch, sandbox=reply.sandbox))
        ready.answered(answer)
    return answer


@asynccontextmanager
async def stream(request: VisionRequest, services: Services, watch: Stopwatch) -> AsyncGenerator["AnswerStream"]:
    """Claude's answer as it comes. Entered once the stream has begun; leaving it closes the upstream connection.

    Raises:
        AppError, UpstreamError: as `answer`, before anything has been streamed.
    """
    begun = streaming(request, services, watch)
    del request  # this frame lives as long as the stream
    async with begun as (ready, events):
        answering = AnswerStream(ready, events, services, watch)
        try:
            yield answering
        finally:
            bill(ready, answering.message, events.request_id, services, whole=answering.billed_whole)


async def normalize(request: VisionRequest, services: Services) -> list[SentImage]:
    """The pictures as Claude would get them; calls no model.

    Raises:
        AppError: as `answer`.
    """
    request = await collect(request, services)
    if len(request.images) < request.picture_count:
        raise AppError(
            ErrorCode.INVALID_REQUEST,
            "some pictures are not here: files were prepared when they were uploaded, and URLs are left to the vendor",
            hint="send the pictures themselves",
        )
    model, planned = await plan_images(request, services)
    return await prepare_images(request, model, planned, services)


async def estimate(
    request: VisionRequest, services: Services, watch: Stopwatch, *, compare: bool, exact: VisionRequest | None
) -> Estimate:
    """What would be sent and what it would cost; calls no model.

    `compare` adds every model of the catalog. `exact` is the same request without what count_tokens refuses; with it
    the vendor counts the tokens, for nothing.

    Raises:
        AppError: as `answer`, but for `max_cost_exceeded`.
    """
    request = await collect(request, services)
    model, planned = await plan_images(request, services)
    images = await prepare_images(request, model, planned, services)
    reports = all_reports(request, model, images)
    watch.lap("normalize")
    counted = None
    if exact is not None:
        counted = await _counted(await collect(replace(exact, images=request.images), services), images, services)
    watch.lap("upstream")
    tokens = estimate_tokens(request, sum(report.tokens for report in reports), counted)
    return Estimate(
        images=reports,
        chosen=estimate_for(model, request, tokens, services),
        compared=tuple(_compared(request, planned, services)) if compare else None,
        prices_as_of=PRICES_AS_OF,
        timing_ms=watch.timing_ms(),
        notices=request_notices(request, model),
    )


class AnswerStream:
    """One streamed answer: pieces of text while it comes, the priced whole at the end."""

    def __init__(self, ready: Ready, events: EventStream, services: Services, watch: Stopwatch) -> None:
        """`events` has begun and has not been read."""
        self._ready = ready
        self._events = events
        self._services = services
        self._watch = watch
        self._builder = MessageBuilder()

    @property
    def images(self) -> tuple[ImageReport, ...]:
        """What became of each picture; known before the first word."""
        return self._ready.images

    @property
    def rate_limits(self) -> tuple[RateLimit, ...]:
        """What is left of the caller's limits by the minute."""
        return self._ready.rate_limits

    @property
    def sandbox(self) -> bool:
        """Whether the sandbox answers."""
        return self._events.sandbox

    @property
    def message(self) -> dict[str, Json]:
        """The answer as far as it has come."""
        return self._builder.message

    @property
    def billed_whole(self) -> bool:
        """Whether the vendor has said all of what it bills."""
        return self._builder.billed_whole

    @property
    def complete(self) -> bool:
        """Whether the answer has ended as it should."""
        return self._builder.complete

    @property
    def prices_as_of(self) -> date:
        """When the prices were read."""
        return PRICES_AS_OF

    @property
    def upstream_request_id(self) -> str | None:
        """The vendor's id of this request."""
        return self._events.request_id

    async def texts(self) -> AsyncIterator[str]:
        """The answer's text, piece by piece.

        Raises:
            UpstreamError: the stream broke; what had been billed by then is in `billed_so_far`.
        """
        async for event in self._events:
            text = self._builder.add(event)
            if text:
                yield text
            if self._builder.complete:
                return
        raise unreachable("the stream of the Claude API ended before the answer did")

    def billed_so_far(self) -> tuple[Usage, Cost | None]:
        """The usage reported by now and its cost; an empty usage before the first event."""
        return self._builder.usage, _cost_of(self._ready, self._builder.message, self._services)

    def answered(self, answer: WireAnswer) -> None:
        """What the client gets, whole: every event of it."""
        self._ready.answered(answer)

    def answer(self) -> Answer:
        """The whole answer, once `texts` has ended."""
        self._watch.lap("upstream")
        return answer_of(
            self._ready,
            self._builder.message,
            self._events.request_id,
            self._services,
            self._watch,
            sandbox=self._events.sandbox,
        )


async def _counted(request: VisionRequest, images: list[SentImage], services: Services) -> int:
    call = Call("POST", COUNT_TOKENS, request.headers, body=request_pieces(request, images))
    with told_by_our_ids(request.files):
        reply = await services.upstream.send(call)
    count = reply.json_object().get("input_tokens")
    if not isinstance(count, int):
        raise unreadable(reply.request_id)
    return count


def _compared(request: VisionRequest, planned: list[PlannedImage], services: Services) -> list[ModelEstimate]:
    """The same request on every listed model that takes so many pictures."""
    rows: list[ModelEstimate] = []
    for model in services.catalog.all():
        count = request.picture_count
        if count > model.max_images:
            continue
        bounds = bounds_for(model, request.detail, request.max_image_tokens, count)
        targets = [plan_image(image.facts, len(image.raw.data), bounds, image.raw.part).target for image in planned]
        stored = sum(report.tokens for report in all_reports(request, model, ()))
        tokens = estimate_tokens(request, stored + sum(billed_tokens(target, model.tier) for target in targets), None)
        rows.append(estimate_for(model, request, tokens, services))
    return rows


def answer_of(
    ready: Ready,
    message: dict[str, Json],
    upstream_request_id: str | None,
    services: Services,
    watch: Stopwatch,
    *,
    sandbox: bool,
) -> Answer:
    """A Messages answer, read and priced.

    Raises:
        UpstreamError: it is not a Messages answer.
    """
    usage, blocks, model = message.get("usage"), message.get("content"), message.get("model")
    if not isinstance(usage, dict) or not isinstance(blocks, list):
        raise unreadable(upstream_request_id)
    billed_model = model if isinstance(model, str) else ready.model.id
    return Answer(
        id=services.new_id("va_"),
        model=billed_model,
        text="".join(_text_of(block) for block in blocks),
        content=tuple(block for block in blocks if not _is_text(block)),
        stop_reason=_string(message.get("stop_reason")),
        stop_sequence=_string(message.get("stop_sequence")),
        stop_details=message.get("stop_details"),
        sandbox=sandbox or services.sandbox,
        images=ready.images,
        usage=usage,
        cost=_cost_of(ready, message, services),
        prices_as_of=PRICES_AS_OF,
        timing_ms=watch.timing_ms(),
        notices=ready.notices,
        rate_limits=ready.rate_limits,
        upstream_request_id=upstream_request_id,
    )


def _cost_of(ready: Ready, message: dict[str, Json], services: Services) -> Cost | None:
    return cost_of(message, ready.model.id, ready.image_tokens, services)


def _is_text(block: Json) -> bool:
    return isinstance(block, dict) and block.get("type") == "text"


def _text_of(block: Json) -> str:
    text = block.get("text") if isinstance(block, dict) and _is_text(block) else None
    return text if isinstance(text, str) else ""


def _string(value: Json) -> str | None:
    return value if isinstance(value, str) else None
