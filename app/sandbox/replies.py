"""Answers on their way out, whole or as a stream, and the faults that befall them there."""

from collections.abc import AsyncIterator, Sequence

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.domain import Json
from app.sandbox.answer import Answer
from app.sandbox.attendance import hang_up, visit_of
from app.sandbox.billing import Bill
from app.sandbox.errors import error_body
from app.sandbox.faults import Fault, overloaded
from app.sandbox.stream import Event, stream_events

EVENTS_BEFORE_FAULT = 5
"""How much of a stream goes out before it is cut: its start, a ping, the start of a block, two deltas."""

GARBAGE = b"<html><body>upstream connect error or disconnect/reset before headers</body></html>\n"


def reply_json(request: Request, body: dict[str, Json], fault: Fault) -> Response:
    """The body as JSON, unless the fault spoils it."""
    encoded = msgspec.json.encode(body)
    if fault.kind == "garbage":
        encoded = GARBAGE
    if fault.kind == "cut":
        return StreamingResponse(
            _half(request, encoded),
            media_type="application/json",
            headers={"content-length": str(len(encoded))},
        )
    return Response(encoded, media_type="application/json")


def reply_stream(request: Request, answer: Answer, bill: Bill, fault: Fault) -> Response:
    """The answer as server-sent events, unless the fault spoils them."""
    return StreamingResponse(
        _events(request, answer, bill, fault),
        media_type="text/event-stream",
        headers={"cache-control": "no-cache"},
    )


def reply_lines(request: Request, lines: Sequence[bytes], fault: Fault) -> Response:
    """JSON objects, one a line, unless the fault spoils them."""
    return StreamingResponse(_lines(request, lines, fault), media_type="application/x-jsonl")


async def _half(request: Request, encoded: bytes) -> AsyncIterator[bytes]:
    yield encoded[: len(encoded) // 2]
    await hang_up(request)


async def _lines(request: Request, lines: Sequence[bytes], fault: Fault) -> AsyncIterator[bytes]:
    if fault.kind == "garbage":
        yield GARBAGE
        return
    for index, line in enumerate(lines):
        if index and fault.drip_s:
            await anyio.sleep(fault.drip_s)
        if index == len(lines) // 2 and fault.kind == "cut":
            await hang_up(request)
        yield line


async def _events(request: Request, answer: Answer, bill: Bill, fault: Fault) -> AsyncIterator[bytes]:
    if fault.kind == "garbage":
        yield GARBAGE
        return
    visit = visit_of(request)
    for index, event in enumerate(stream_events(answer, bill)):
        if index and fault.drip_s:
            await anyio.sleep(fault.drip_s)
        if index == EVENTS_BEFORE_FAULT and fault.kind == "cut":
            await hang_up(request)
        if index == EVENTS_BEFORE_FAULT and fault.kind == "error-event":
            yield Event(error_body(overloaded(), visit.request_id), event.output_tokens).encode()
            return
        visit.billed = bill.with_output(event.output_tokens).to_json()
        # A client has everything with the last event, and may leave before the stream is closed.
        visit.answered = event.kind == "message_stop"
        yield event.encode()
