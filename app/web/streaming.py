"""A streamed answer of a native endpoint as server-sent events: `images`, `text`, then `done` or `error`."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from fastapi import Request
from pydantic import BaseModel

from app.domain import SANDBOX_HEADER
from app.errors import AppError, ErrorCode
from app.pipeline import AnswerStream, Observer, RelayedStream, WireAnswer
from app.web.answers import cost_body, dollars, image_bodies
from app.web.deps import ServicesOf
from app.web.disconnect import until_disconnect
from app.web.errors import error_body
from app.web.event_stream import EventResponse, event, log_early_end
from app.web.idempotency import Recording
from app.web.rates import rate_limit_headers

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that has begun, and what gives the body of `done` once its texts have ended."""

    answering: AnswerStream
    finish: Callable[[], Awaitable[BaseModel]]


async def streamed(
    request: Request,
    opening: AbstractAsyncContextManager[Streamed],
    services: ServicesOf,
    recording: Recording,
    keep_alive_s: float,
) -> EventResponse:
    """The stream, begun: what fails before its first event is an error answer with its own status."""
    opened = AsyncExitStack()
    begun = await until_disconnect(request.receive, lambda: opened.enter_async_context(opening))
    answering = begun.answering
    headers = {SANDBOX_HEADER: "true"} if answering.sandbox else {}
    headers |= rate_limit_headers(answering.rate_limits, services.clock.now())
    request_id: str = request.state.request_id

    async def close() -> None:
        await close_stream(answering, recording.answer(response.headers), opened, request_id)

    response = EventResponse(recording.of(_events(begun, services.observer, request_id)), close, headers, keep_alive_s)
    return response


async def close_stream(
    streamed: AnswerStream | RelayedStream, whole: WireAnswer | None, opened: AsyncExitStack, request_id: str
) -> None:
    """Settle a stream that has ended, or was left; `whole` is what a repeat of it gets, where its end was sent."""
    if not streamed.complete:
        log_early_end(request_id, *streamed.billed_so_far())
    if whole is not None:
        streamed.answered(whole)
    await opened.aclose()


async def _events(begun: Streamed, observer: Observer, request_id: str) -> AsyncIterator[bytes]:
    answering = begun.answering
    images = [image.model_dump(mode="json") for image in image_bodies(answering.images, None)]
    yield event("images", json.dumps({"images": images, "request_id": request_id}))
    try:
        async for text in answering.texts():
            yield event("text", json.dumps({"text": text}))
        yield event("done", await begun.finish())
    except Exception as error:  # noqa: BLE001 - the headers are sent; only an event can tell of it now
        yield event("error", _error_with_bill(what_ended(error, observer, request_id), answering, request_id))


def what_ended(error: Exception, observer: Observer, request_id: str) -> AppError:
    """What the client of a stream is told of the error that ended it, counted; a fault of ours is in the log too."""
    if not isinstance(error, AppError):
        _log.error("request %s failed while streaming", request_id, exc_info=error)
        error = AppError(ErrorCode.INTERNAL, f"this service failed while streaming: {type(error).__name__}")
    observer.refused(error)
    return error


def _error_with_bill(error: AppError, answering: AnswerStream, request_id: str) -> str:
    """The error body, and what had been billed when it happened, where it does not say so itself."""
    usage, cost = answering.billed_so_far()
    total = cost_body(cost, answering.prices_as_of).total_usd if usage else None
    if "usage" not in error.details:
        error.details["usage"] = dict(usage)
        if total is not None:
            error.details["cost_usd"] = dollars(total)
    return json.dumps(error_body(error, request_id))
