"""POST /v1/analyze: ask about one or many pictures, streamed or not."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from app.pipeline import Answer, Services, Stopwatch, VisionRequest, WireAnswer, answer, stream
from app.web.answers import AnswerBody, answer_body
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.disconnect import until_disconnect
from app.web.documentation import ANALYZE_EXAMPLE, IDEMPOTENCY_KEY, body_of, responses_with
from app.web.fields import AnalyzeFields
from app.web.idempotency import OnceOf
from app.web.reading import read_sent, understand
from app.web.streaming import Streamed, streamed
from app.web.whole import whole

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
    sent = await read_sent(request, settings, services.observer)
    kept = await once.kept(sent)
    if kept is not None:
        return kept
    received = await understand(sent, request, AnalyzeFields, settings, caller, services)
    del sent  # the base64 of pictures need not wait for the answer too
    watch.lap("receive")
    question = replace(await received.vision_request(), claim=once.claim)
    request_id: str = request.state.request_id
    if question.stream:
        opening = _opened(question, services, watch, request_id)
        return await streamed(request, opening, services, once.recording(), settings.stream_keep_alive_s)

    def render(result: Answer) -> WireAnswer:
        return whole(answer_body(result, request_id), result, services)

    rendered = await until_disconnect(request.receive, lambda: answer(question, services, watch, render))
    return Response(rendered.content, rendered.status, rendered.headers)


@asynccontextmanager
async def _opened(
    question: VisionRequest, services: Services, watch: Stopwatch, request_id: str
) -> AsyncGenerator[Streamed]:
    begun = stream(question, services, watch)
    del question  # this frame lives as long as the stream
    async with begun as answering:

        async def finish() -> AnswerBody:
            return answer_body(answering.answer(), request_id)

        yield Streamed(answering, finish)
