"""An answer that is data, streamed or whole: what `/v1/extract` and `/v1/locate` have in common."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from app.domain import Caller
from app.errors import AppError
from app.pipeline import (
    DataQuestion,
    DataRequest,
    Extraction,
    Rendering,
    Services,
    Stopwatch,
    VisionRequest,
    WireAnswer,
    extract,
    stream_extract,
)
from app.settings import Settings
from app.web.answers import AnswerBody
from app.web.disconnect import until_disconnect
from app.web.errors import error_response
from app.web.fields import AnalyzeFields
from app.web.idempotency import Once
from app.web.reading import Received, read_sent, understand
from app.web.streaming import Streamed, streamed
from app.web.whole import whole

Body: TypeAlias = Callable[[Extraction], AnswerBody]
"""Makes the body of an endpoint's answer."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What a route works with."""

    request: Request
    services: Services
    settings: Settings
    once: Once
    watch: Stopwatch


async def received(asking: Asking, model: type[AnalyzeFields], caller: Caller) -> Received | Response:
    """What the client sent, or the answer that it got before. Raises as `app.web.reading`."""
    sent = await read_sent(asking.request, asking.settings, asking.services.observer)
    kept = await asking.once.kept(sent)
    if kept is not None:
        return kept
    understood = await understand(sent, asking.request, model, asking.settings, caller, asking.services)
    asking.watch.lap("receive")
    return understood


async def composed(asking: Asking, understood: Received, question: DataQuestion) -> DataRequest:
    """The request with that question in it. Raises as `app.pipeline.compose`."""
    request: VisionRequest = await replace(understood, question=question.question).vision_request()
    return DataRequest(replace(request, claim=asking.once.claim), question.schema, question.structured)


async def answered(asking: Asking, asked: DataRequest, body: Body) -> Response:
    """The answer with its data. Raises as `app.pipeline.extract`."""
    request, services, watch = asking.request, asking.services, asking.watch
    if asked.request.stream:
        opening, recording = _opened(asked, body, services, watch), asking.once.recording()
        return await streamed(request, opening, services, recording, asking.settings.stream_keep_alive_s)
    request_id: str = request.state.request_id

    def failure(error: AppError) -> WireAnswer:
        refused = error_response(error, request_id)
        return WireAnswer(refused.status_code, {"content-type": JSONResponse.media_type}, bytes(refused.body))

    rendering = Rendering(lambda result: whole(body(result), result.answer, services), failure)
    rendered = await until_disconnect(request.receive, lambda: extract(asked, services, watch, rendering))
    return Response(rendered.content, rendered.status, rendered.headers)


@asynccontextmanager
async def _opened(asked: DataRequest, body: Body, services: Services, watch: Stopwatch) -> AsyncGenerator[Streamed]:
    begun = stream_extract(asked, services, watch)
    del asked  # this frame lives as long as the stream
    async with begun as extracting:

        async def finish() -> AnswerBody:
            return body(await extracting.extraction())

        yield Streamed(extracting.answering, finish)
