"""Data out of pictures: the main path with an answer that is read by a schema, put right once where that may help."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from app.domain import Notice
from app.errors import AppError, ErrorCode, UpstreamError
from app.ledger import WireAnswer
from app.pipeline.answering import AnswerStream, answer_of
from app.pipeline.billing import sum_usage
from app.pipeline.filing import told_by_our_ids
from app.pipeline.ports import Services
from app.pipeline.ready import MESSAGES, Ready, accounted, bill, call_mended, ready_to_send, streaming
from app.pipeline.repairing import repaired
from app.pipeline.reports import Answer
from app.pipeline.request import VisionRequest
from app.pipeline.stopwatch import Stopwatch
from app.schemas import Reading

_ABOUT_THE_SCHEMA = ("output_config.format", "output_format", "schema", "grammar")
"""Words of the vendor's refusals of a schema; it has no error code for them.

Source: anthropics/anthropic-sdk-python#1185, veryfront/veryfront-code#3918 on GitHub, 2026.
"""

_CUT = frozenset({"max_tokens", "model_context_window_exceeded"})
_REPAIRABLE = frozenset({"end_turn", "stop_sequence"})
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class DataRequest:
    """A request whose answer must be valid by `schema`; `structured` says that the vendor is told of it."""

    request: VisionRequest
    schema: str
    structured: bool


@dataclass(frozen=True, slots=True)
class Extraction:
    """An answer, and the data in it. After a second turn usage and cost are those of both."""

    answer: Answer
    data: Any


@dataclass(frozen=True, slots=True)
class Rendering:
    """How an extraction goes over the wire, and how a failure does that was paid for."""

    answer: Callable[[Extraction], WireAnswer]
    failure: Callable[[AppError], WireAnswer]


async def extract(asked: DataRequest, services: Services, watch: Stopwatch, rendering: Rendering) -> WireAnswer:
    """The data that Claude found, valid, priced and rendered: before it is settled, as `answer` does it.

    A failure that was paid for is kept for whoever repeats the request too, as another try would be paid again.

    Raises:
        AppError: as `answer`; `schema_refused`, `answer_refused`, `answer_cut` or `schema_mismatch`, with their cost.
        UpstreamError: what the Claude API said instead.
    """
    with _schema_refusals(asked):
        async with ready_to_send(asked.request, services, watch) as first:
            watch.lap("normalize")
            ready, reply = await call_mended(
                first, services, lambda ready: services.upstream.send(ready.call(MESSAGES))
            )
            watch.lap("upstream")
            message = reply.json_object()
            bill(ready, message, reply.request_id, services)
            answer = answer_of(ready, message, reply.request_id, services, watch, sandbox=reply.sandbox)
            try:
                rendered = rendering.answer(await _read(asked, ready, answer, services, watch))
            except UpstreamError:
                raise
            except AppError as error:
                ready.answered(rendering.failure(error))
                raise
            ready.answered(rendered)
            return rendered


@asynccontextmanager
async def stream_extract(
    asked: DataRequest, services: Services, watch: Stopwatch
) -> AsyncGenerator["ExtractionStream"]:
    """The answer as it comes, and its data once it has ended.

    Raises:
        AppError, UpstreamError: as `extract`, before anything has been streamed.
    """
    begun = streaming(asked.request, services, watch)
    asked = replace(asked, request=asked.request.without_bytes())  # this frame lives as long as the stream
    with _schema_refusals(asked):
        async with begun as (ready, events):
            extracting = ExtractionStream(asked, ready, AnswerStream(ready, events, services, watch), services, watch)
            try:
                yield extracting
            finally:
                extracting.bill()


class ExtractionStream:
    """One streamed extraction: `answering` is the answer as it comes."""

    def __init__(
        self, asked: DataRequest, ready: Ready, answering: AnswerStream, services: Services, watch: Stopwatch
    ) -> None:
        """`answering` has not been read."""
        self.answering = answering
        self._asked = asked
        self._ready = ready
        self._services = services
        self._watch = watch
        self._billed = False

    async def extraction(self) -> Extraction:
        """The data, once the texts of `answering` have ended. A second turn is not streamed. Raises as `extract`."""
        self.bill()
        return await _read(self._asked, self._ready, self.answering.answer(), self._services, self._watch)

    def bill(self) -> None:
        """Put down what the streamed turn cost; once, for a second turn is put down with it."""
        if not self._billed:
            self._billed = True
            message, whole = self.answering.message, self.answering.billed_whole
            bill(self._ready, message, self.answering.upstream_request_id, self._services, whole=whole)


async def _read(asked: DataRequest, ready: Ready, answer: Answer, services: Services, watch: Stopwatch) -> Extraction:
    """The data in the answer, or in a second one. Raises as `extract`."""
    reading = await _reading(asked, answer, services)
    if not reading.faults:
        return Extraction(answer, reading.data)
    mendable = asked.request.calls > 1 and not reading.hopeless and answer.stop_reason in _REPAIRABLE
    again = repaired(ready, answer.text, reading.faults) if mendable else None
    if again is None:
        raise _mismatch(answer, reading)
    both = await _asked_again(again, answer, reading, services, watch)
    reading = await _reading(asked, both, services)
    if reading.faults:
        raise _mismatch(both, reading)
    return Extraction(both, reading.data)


async def _reading(asked: DataRequest, answer: Answer, services: Services) -> Reading:
    """What the answer holds, where it is a whole one.

    Raises:
        AppError: `answer_refused`, `answer_cut`.
    """
    if answer.stop_reason == "refusal":
        hint = "stop_details may say why; another wording, or another picture, may be answered"
        raise _failed(ErrorCode.ANSWER_REFUSED, "Claude declined to answer", answer, hint=hint)
    reading = await services.schemas.read(asked.schema, answer.text)
    if reading.faults and answer.stop_reason in _CUT:
        cut_at = (
            f"at max_tokens, {asked.request.max_tokens}" if answer.stop_reason == "max_tokens" else "by the context"
        )
        hint = "raise max_tokens, against which thinking counts too, or ask for less"
        limit = asked.request.max_tokens
        raise _failed(ErrorCode.ANSWER_CUT, f"the answer was cut {cut_at}", answer, hint=hint, limit=limit)
    return reading


async def _asked_again(again: Ready, first: Answer, reading: Reading, services: Services, watch: Stopwatch) -> Answer:
    """The second answer, with the usage and the cost of both put down and told.

    Raises:
        UpstreamError: the second call failed; the cost of the first is in its details.
    """
    try:
        with told_by_our_ids(again.request.files):
            reply = await accounted(again, services, lambda ready: services.upstream.send(ready.call(MESSAGES)))
        message = reply.json_object()
        watch.lap("upstream")
        second = answer_of(again, message, reply.request_id, services, watch, sandbox=reply.sandbox)
    except UpstreamError as error:
        error.details.update(_bill_of(first))
        raise
    cost = None if first.cost is None or second.cost is None else first.cost + second.cost
    usage = sum_usage(first.usage, second.usage)
    if again.account is not None:
        again.account.billed(usage, cost, reply.request_id, whole=True)
    message = (
        f"the first answer was not valid ({reading.faults[0]}) and was asked for again; usage and cost are of both"
    )
    return replace(second, usage=usage, cost=cost, notices=(*second.notices, Notice("asked_again", message)))


@contextmanager
def _schema_refusals(asked: DataRequest) -> Generator[None]:
    """Turns the vendor's refusal of the schema into an error of its own.

    Raises:
        AppError: `schema_refused`.
    """
    try:
        yield
    except UpstreamError as error:
        if not asked.structured or error.status != _BAD_REQUEST:
            raise
        if not any(word in error.message.lower() for word in _ABOUT_THE_SCHEMA):
            raise
        refused = AppError(
            ErrorCode.SCHEMA_REFUSED,
            f"the Claude API refused the schema: {error.message}",
            hint="send structured=false to have the schema put into the prompt, or simplify it",
            upstream_request_id=error.request_id,
            cost_usd=0,
        )
        raise refused from error


def _mismatch(answer: Answer, reading: Reading) -> AppError:
    gravest = reading.faults[0]
    return _failed(
        ErrorCode.SCHEMA_MISMATCH,
        f"the answer is not valid by the schema: {gravest}",
        answer,
        place=gravest.place,
        faults=[str(fault) for fault in reading.faults],
    )


def _failed(code: ErrorCode, message: str, answer: Answer, **details: str | int | list[str]) -> AppError:
    """An answer that holds no data, with what it said and what it cost."""
    error = AppError(code, message, **details)
    error.details.update(_bill_of(answer))
    error.details["text"] = answer.text
    error.details["stop_reason"] = answer.stop_reason
    if answer.stop_details is not None:
        error.details["stop_details"] = answer.stop_details if isinstance(answer.stop_details, dict) else None
    return error


def _bill_of(answer: Answer) -> dict[str, Any]:
    cost_usd = None if answer.cost is None else float(round(answer.cost.total_usd, 9))
    return {"usage": dict(answer.usage), "cost_usd": cost_usd, "upstream_request_id": answer.upstream_request_id}
