"""POST /v1/analyze: ask about one or many pictures, streamed or not."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.domain import SANDBOX_HEADER
from app.errors import AppError, ErrorCode
from app.pipeline import Answer, AnswerStream, Stopwatch, VisionRequest, WireAnswer, answer, stream
from app.web.answers import AnswerBody, answer_body, cost_body, dollars, image_bodies
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.disconnect import until_disconnect
from app.web.documentation import ANALYZE_EXAMPLE, IDEMPOTENCY_KEY, body_of, responses_with
from app.web.errors import error_body
from app.web.event_stream import EventResponse, event, log_early_end
from app.web.fields import AnalyzeFields
from app.web.idempotency import OnceOf, Recording
from app.web.rates import rate_limit_headers
from app.web.reading import read_sent, understand

_log = logging.getLogger(__name__)

router = APIRouter(tags=["native"])


@router.post(
    "/v1/analyze",
    summary="Ask about one or many images",
    openapi_extra={**body_of(AnalyzeFields), **IDEMPOTENCY_KEY},
    responses=responses_with(AnswerBody, ANALYZE_EXAMPLE, spends=True, streams=True),
)
async def analyze(
    request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf, once: OnceOf
) -> Response:
    """Claude's answer about the pictures, with what it cost.

    With `stream` it comes as server-sent events: `images` (what became of each picture), `text` (`{"text": ...}`, many
    times), `done` (the whole answer) or `error`. Comments keep the connection alive.
    """
    watch = Stopwatch(services.clock.monotonic)
    sent = await read_sent(request, settings)
    kept = await once.kept(sent)
    if kept is not None:
        return kept
    received = await understand(sent, request, AnalyzeFields, settings, caller, services)
    del sent  # the base64 of pictures need not wait for the answer too
    watch.lap("receive")
    question = replace(await received.vision_request(), claim=once.claim)
    if question.stream:
        return await _streamed(request, question, services, watch, once.recording(), settings.stream_keep_alive_s)

    def render(result: Answer) -> WireAnswer:
        headers = {"content-type": JSONResponse.media_type, **({SANDBOX_HEADER: "true"} if result.sandbox else {})}
        headers |= rate_limit_headers(result.rate_limits, services.clock.now())
        return WireAnswer(200, headers, answer_body(result, request.state.request_id).model_dump_json().encode())

    rendered = await until_disconnect(request.receive, lambda: answer(question, services, watch, render))
    return Response(rendered.content, rendered.status, rendered.headers)


async def _streamed(
    request: Request,
    question: VisionRequest,
    services: ServicesOf,
    watch: Stopwatch,
    recording: Recording,
    keep_alive_s: float,
) -> EventResponse:
    """The stream, begun: what fails before its first event is an error answer with its own status."""
    opened = AsyncExitStack()
    answering = await until_disconnect(
        request.receive, lambda: opened.enter_async_context(stream(question, services, watch))
    )
    headers = {SANDBOX_HEADER: "true"} if answering.sandbox else {}
    headers |= rate_limit_headers(answering.rate_limits, services.clock.now())
    request_id: str = request.state.request_id

    async def close() -> None:
        if not answering.complete:
            log_early_end(request_id, *answering.billed_so_far())
        whole = recording.answer(response.headers)
        if whole is not None:
            answering.answered(whole)
        await opened.aclose()

    response = EventResponse(recording.of(_events(answering, request_id)), close, headers, keep_alive_s)
    return response


async def _events(answering: AnswerStream, request_id: str) -> AsyncIterator[bytes]:
    images = [image.model_dump(mode="json") for image in image_bodies(answering.images, None)]
    yield event("images", json.dumps({"images": images, "request_id": request_id}))
    try:
        async for text in answering.texts():
            yield event("text", json.dumps({"text": text}))
        yield event("done", answer_body(answering.answer(), request_id))
    except AppError as error:
        yield event("error", _error_with_bill(error, answering, request_id))
    except Exception as error:  # noqa: BLE001 - the headers are sent; only an event can tell of it now
        _log.exception("request %s failed while streaming", request_id)
        internal = AppError(ErrorCode.INTERNAL, f"this service failed while streaming: {type(error).__name__}")
        yield event("error", _error_with_bill(internal, answering, request_id))


def _error_with_bill(error: AppError, answering: AnswerStream, request_id: str) -> str:
    """The error body, and what had been billed when it happened."""
    usage, cost = answering.billed_so_far()
    total = cost_body(cost, answering.prices_as_of).total_usd if usage else None
    error.details["usage"] = dict(usage)
    if total is not None:
        error.details["cost_usd"] = dollars(total)
    return json.dumps(error_body(error, request_id))
