"""The drop-in path: a Messages request with its pictures prepared, the vendor's answer as it came, and its cost."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from app.domain import Cost, Json, Notice, Usage
from app.ledger import RateLimit, WireAnswer
from app.pipeline.billing import cost_of, read_bill
from app.pipeline.ports import Services
from app.pipeline.ready import COUNT_TOKENS, MESSAGES, Ready, bill, call_mended, make_ready, ready_to_send, streaming
from app.pipeline.reports import ImageReport
from app.pipeline.request import VisionRequest
from app.pipeline.stopwatch import Stopwatch
from app.upstream import MessageBuilder
from app.upstream.calls import Reply
from app.upstream.event_stream import EventStream, event_data, event_name
from app.upstream.failures import unreachable


@dataclass(frozen=True, slots=True)
class Relayed:
    """A good answer of the vendor's. `content` is what it said; `billed` is whether it tells of usage."""

    content: bytes
    headers: Mapping[str, str]
    images: tuple[ImageReport, ...]
    image_tokens: int
    cost: Cost | None
    billed: bool
    notices: tuple[Notice, ...]
    rate_limits: tuple[RateLimit, ...]


async def relay(
    request: VisionRequest, services: Services, watch: Stopwatch, render: Callable[[Relayed], WireAnswer]
) -> WireAnswer:
    """The vendor's answer to a Messages request with its pictures prepared, rendered before it is settled.

    Raises:
        AppError: a picture or a limit in the way.
        UpstreamError: what the vendor said instead; `raw` holds it whole.
    """
    async with ready_to_send(request, services, watch) as first:
        watch.lap("normalize")
        ready, reply = await call_mended(first, services, lambda ready: services.upstream.send(ready.call(MESSAGES)))
        watch.lap("upstream")
        billed = read_bill(reply.content)
        cost = None if billed is None else bill(ready, billed, reply.request_id, services)
        answer = render(_relayed(ready, reply, cost, billed=billed is not None))
        ready.answered(answer)
    return answer


async def relay_count(request: VisionRequest, services: Services, watch: Stopwatch) -> Relayed:
    """The vendor's count of a Messages request, which costs nothing. Raises as `relay`."""
    first = await make_ready(request, services)
    watch.lap("normalize")
    ready, reply = await call_mended(first, services, lambda ready: services.upstream.send(ready.call(COUNT_TOKENS)))
    watch.lap("upstream")
    return _relayed(ready, reply, None, billed=False)


def _relayed(ready: Ready, reply: Reply, cost: Cost | None, *, billed: bool) -> Relayed:
    return Relayed(
        reply.content, reply.headers, ready.images, ready.image_tokens, cost, billed, ready.notices, ready.rate_limits
    )


@asynccontextmanager
async def relay_stream(request: VisionRequest, services: Services, watch: Stopwatch) -> AsyncGenerator["RelayedStream"]:
    """The vendor's stream, begun; closed on exit.

    Raises:
        AppError, UpstreamError: as `relay`, before anything has been streamed.
    """
    begun = streaming(request, services, watch)
    del request  # this frame lives as long as the stream
    async with begun as (ready, events):
        relayed = RelayedStream(ready, events, services)
        try:
            yield relayed
        finally:
            bill(ready, relayed.message, events.request_id, services, whole=relayed.billed_whole)


class RelayedStream:
    """The events of a stream as the vendor sends them, each as its bytes; the bill is read as they pass."""

    def __init__(self, ready: Ready, events: EventStream, services: Services) -> None:
        """`events` has begun and has not been read."""
        self._ready = ready
        self._events = events
        self._services = services
        self._bill = MessageBuilder()
        self._ended = False

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the vendor's answer."""
        return self._events.headers

    @property
    def images(self) -> tuple[ImageReport, ...]:
        """What became of each picture."""
        return self._ready.images

    @property
    def image_tokens(self) -> int:
        """Of all pictures together, by the vendor's rule."""
        return self._ready.image_tokens

    @property
    def rate_limits(self) -> tuple[RateLimit, ...]:
        """What is left of the caller's limits by the minute."""
        return self._ready.rate_limits

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the caller should know of the whole request."""
        return self._ready.notices

    async def events(self) -> AsyncIterator[tuple[str, bytes]]:
        """Name and bytes of each event, the blank line at its end included.

        Raises:
            UpstreamError: the stream broke.
        """
        async for event in self._events.events():
            name = event_name(event)
            self._read(name, event)
            yield name, event
        if not self._ended:
            raise unreachable("the stream of the Claude API ended before the answer did")

    def answered(self, answer: WireAnswer) -> None:
        """What the client gets, whole: every event of it."""
        self._ready.answered(answer)

    @property
    def message(self) -> dict[str, Json]:
        """The answer as far as it tells what is billed."""
        return self._bill.message

    def billed_so_far(self) -> tuple[Usage, Cost | None]:
        """The usage reported by now and its cost; an empty usage before the first event."""
        return self._bill.usage, self._cost()

    def _cost(self) -> Cost | None:
        return cost_of(self._bill.message, self._ready.model.id, self.image_tokens, self._services)

    @property
    def billed_whole(self) -> bool:
        """Whether the vendor has said all of what it bills."""
        return self._bill.billed_whole

    @property
    def complete(self) -> bool:
        """Whether the answer has ended as it should."""
        return self._bill.complete

    def _read(self, name: str, event: bytes) -> None:
        self._ended = self._ended or name in {"message_stop", "error"}
        if name in {"message_start", "content_block_start", "message_delta", "message_stop"}:
            data = event_data(event)
            if data is not None:
                self._bill.add(msgspec.json.decode(data))
