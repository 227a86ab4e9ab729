"""plan -> bound -> normalize, and the one second chance: a request that only has to be sent, mended once if refused."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from app.domain import Cost, Json, Model, Notice
from app.errors import UpstreamError
from app.imaging.plan import tightened
from app.imaging.tokens import Bounds, billed_tokens, shrink_to_fit
from app.ledger import RateLimit, WireAnswer
from app.pipeline.accounting import Account, open_account
from app.pipeline.billing import cost_of
from app.pipeline.collecting import collect
from app.pipeline.costing import refuse_above_cap
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
from app.pipeline.reports import ImageReport
from app.pipeline.request import VisionRequest
from app.pipeline.spilling import Spill
from app.pipeline.stopwatch import Stopwatch
from app.upstream.calls import Call
from app.upstream.event_stream import EventStream
from app.upstream.pieces import Pieces

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"

_UNBOUNDED = 1 << 62
_BYTES_REFUSED = re.compile(r"image exceeds .{1,20} maximum: \d+ bytes > (\d+) bytes")
"""The vendor's words; it has no error code for this one. Source: anthropics/claude-code#10612 on GitHub, 2025-11."""

_UNREADABLE = "Could not process image"
"""The vendor's words, without an error code too. Source: anthropics/claude-code#4083 on GitHub, 2025-07."""

_Reply = TypeVar("_Reply")


@dataclass(frozen=True, slots=True)
class Ready:
    """A request that only has to be sent. `planned` is what it was made from, for a second attempt."""

    request: VisionRequest
    model: Model
    planned: Sequence[PlannedImage]
    images: tuple[ImageReport, ...]
    body: Pieces
    notices: tuple[Notice, ...]
    account: Account | None = None
    spill: Spill | None = None

    @property
    def image_tokens(self) -> int:
        """Of all pictures together, by the vendor's rule."""
        return sum(image.tokens for image in self.images)

    @property
    def held_bytes(self) -> int:
        """What it takes while it is being sent: its body, and the pictures it was made from, for a second attempt."""
        kept = {id(image.raw.content): image.raw.held_bytes for image in self.planned}
        return self.body.held_bytes + sum(kept.values())

    def without_bytes(self) -> "Ready":
        """The same once it has been sent, for those who tell what it cost."""
        return replace(self, request=self.request.without_bytes(), planned=(), body=Pieces(()))

    @property
    def rate_limits(self) -> tuple[RateLimit, ...]:
        """What is left of the caller's limits by the minute."""
        return () if self.account is None else self.account.rate_limits

    def answered(self, answer: WireAnswer) -> None:
        """What the client gets, whole, put down in the account of the request."""
        if self.account is not None:
            self.account.answered(answer)

    def call(self, path: str) -> Call:
        """The request to that endpoint."""
        return Call("POST", path, self.request.headers, self.request.query, self.body)


@asynccontextmanager
async def ready_to_send(request: VisionRequest, services: Services, watch: Stopwatch) -> AsyncGenerator[Ready]:
    """A request that spends: its cost is reserved, and settled on exit.

    What is too much for its body goes to the vendor as files, deleted on exit.

    Raises:
        AppError: as `make_ready`, and what keeps the caller from spending.
    """
    spill = Spill(services, request.headers)
    async with open_account(request, services, watch) as account:
        try:
            ready = make_ready(request, services, account, spill)
            del request  # this frame waits for as long as the answer takes
            yield await ready
        finally:
            await spill.forget()


@asynccontextmanager
async def streaming(
    request: VisionRequest, services: Services, watch: Stopwatch
) -> AsyncGenerator[tuple[Ready, EventStream]]:
    """The request as it was sent, and the stream of its answer, begun; closed on exit.

    Raises:
        AppError, UpstreamError: what kept the stream from beginning.
    """
    async with AsyncExitStack() as opened:
        first = await opened.enter_async_context(ready_to_send(request, services, watch))
        watch.lap("normalize")
        sent, events = await call_mended(
            first,
            services,
            lambda ready: opened.enter_async_context(services.upstream.stream(ready.call(MESSAGES))),
        )
        last, room = request.calls == 1, request.room
        ready = sent.without_bytes() if last else sent  # a second turn sends the body once more
        del request, first, sent  # a stream can last minutes, and needs none of their bytes
        if room is not None and last:
            room.leave()
        with services.observer.step("stream"):
            yield ready, events


async def make_ready(
    request: VisionRequest, services: Services, account: Account | None = None, spill: Spill | None = None
) -> Ready:
    """Everything that happens before money can be spent; with an `account`, what it may cost is reserved in it.

    Raises:
        AppError: a picture or a limit in the way, or no money left.
    """
    with services.observer.step("collect"):
        request = await collect(request, services)
    with services.observer.step("plan"):
        model, planned = await plan_images(request, services)
    tokens = planned_tokens(request, model, planned)
    refuse_above_cap(model, request, tokens, services)
    if account is not None:
        await account.reserve(model, tokens)
    first = Ready(request, model, planned, (), Pieces(()), request_notices(request, model), account, spill)
    ready = await _prepared(first, planned, services)
    if request.room is not None:
        await request.room.send(ready.held_bytes)
    return ready


def planned_tokens(request: VisionRequest, model: Model, planned: Sequence[PlannedImage]) -> int:
    """Of all pictures that this service knows, files included."""
    stored = sum(report.tokens for report in all_reports(request, model, ()))
    return stored + sum(image.tokens for image in planned)


async def call_mended(
    ready: Ready, services: Services, call: Callable[[Ready], Awaitable[_Reply]]
) -> tuple[Ready, _Reply]:
    """The reply to the request, and the request as it was in the end.

    A refusal that states a smaller limit for the side or the bytes of a picture, or that finds one unreadable, leads to
    one preparation that keeps to it and one more call, told in a notice.

    Raises:
        ImageError: the picture that the vendor could not read, and neither can we.
        UpstreamError: the refusal, where nothing can be mended or it did not help.
    """
    with told_by_our_ids(ready.request.files):
        return await _called(ready, services, call)


async def _called(ready: Ready, services: Services, call: Callable[[Ready], Awaitable[_Reply]]) -> tuple[Ready, _Reply]:
    try:
        return ready, await accounted(ready, services, call)
    except UpstreamError as error:
        mended = _mended(ready, error)
        if mended is None:
            raise
        planned, reason = mended
    notice = Notice("prepared_again", f"the Claude API refused {reason}; they were prepared anew and sent again")
    again = await _prepared(replace(ready, notices=(*ready.notices, notice)), planned, services)
    return again, await accounted(again, services, call)


async def accounted(ready: Ready, services: Services, call: Callable[[Ready], Awaitable[_Reply]]) -> _Reply:
    """The reply; a call that ends in none may have cost something all the same."""
    if ready.account is not None:
        ready.account.sending()
    try:
        with services.observer.step("upstream"):
            return await call(ready)
    except UpstreamError as error:
        if ready.account is not None:
            ready.account.refused(error)
        raise


def bill(
    ready: Ready,
    message: Mapping[str, Json],
    upstream_request_id: str | None,
    services: Services,
    *,
    whole: bool = True,
) -> Cost | None:
    """The cost of an answer, `whole` or as far as it has come, put down in the account of the request."""
    with services.observer.step("price"):
        cost, usage = cost_of(message, ready.model.id, ready.image_tokens, services), message.get("usage")
    if ready.account is not None:
        ready.account.billed(usage if isinstance(usage, dict) else {}, cost, upstream_request_id, whole=whole)
    return cost


def _mended(ready: Ready, error: UpstreamError) -> tuple[list[PlannedImage], str] | None:
    """Plans that avoid what the refusal states, and what that is; None where these do already."""
    upstream = error.details.get("upstream")
    side_px = upstream.get("max_side_length_pixels") if isinstance(upstream, dict) else None
    refused_bytes = _BYTES_REFUSED.search(error.message)
    if isinstance(side_px, int) and side_px > 0:
        reason = f"a picture over {side_px} px"
        planned = [_within_side(image, side_px, ready.model) for image in ready.planned]
    elif refused_bytes is not None:
        reason = f"a picture over {refused_bytes[1]} base64 characters"
        planned = [_within_bytes(image, int(refused_bytes[1]) // 4 * 3) for image in ready.planned]
    elif _UNREADABLE in error.message:
        reason = "a picture it could not read"
        planned = [replace(image, plan=replace(image.plan, keep_bytes=False)) for image in ready.planned]
    else:
        return None
    return (planned, reason) if planned != list(ready.planned) else None


def _within_side(image: PlannedImage, side_px: int, model: Model) -> PlannedImage:
    target = shrink_to_fit(image.plan.target, Bounds(_UNBOUNDED, _UNBOUNDED, side_px))
    plan = tightened(image.plan, image.raw.size_bytes, target, image.plan.max_bytes)
    return replace(image, plan=plan, tokens=billed_tokens(target, model.tier))


def _within_bytes(image: PlannedImage, max_bytes: int) -> PlannedImage:
    least = min(max_bytes, image.plan.max_bytes)
    return replace(image, plan=tightened(image.plan, image.raw.size_bytes, image.plan.target, least))


async def _prepared(ready: Ready, planned: Sequence[PlannedImage], services: Services) -> Ready:
    """The same request with its pictures prepared by those plans."""
    request, model = ready.request, ready.model
    images = await prepare_images(request, model, planned, services, ready.spill)
    reports = all_reports(request, model, images)
    if ready.account is not None:
        ready.account.prepared(reports)
    body = request_pieces(request, images)
    for image in planned:
        image.raw.let_go()
    return replace(ready, planned=planned, images=reports, body=body)
