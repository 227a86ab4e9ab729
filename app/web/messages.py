"""POST /v1/messages and /v1/messages/count_tokens: the vendor's own endpoints, for clients that change `base_url`."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import msgspec
from fastapi import APIRouter, Request, Response

from app.domain import Cost
from app.errors import UpstreamError
from app.pipeline import (
    ImageReport,
    JsonObject,
    Observer,
    Relayed,
    RelayedStream,
    Services,
    Stopwatch,
    VisionRequest,
    WireAnswer,
    event_data,
    from_messages,
    relay,
    relay_count,
    relay_stream,
)
from app.web.answers import dollars, image_bodies
from app.web.bodies import off_loop
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.disconnect import until_disconnect
from app.web.documentation import IDEMPOTENCY_KEY, MESSAGES_BODY, relayed
from app.web.encodings import read_decoded
from app.web.errors import error_body
from app.web.event_stream import EventResponse
from app.web.idempotency import OnceOf, Recording
from app.web.rates import rate_limit_headers
from app.web.reading import forwarded_headers
from app.web.relay import drop_in_policy, passed_back, refused, server_timing, wants_report
from app.web.streaming import close_stream, what_ended

router = APIRouter(tags=["drop-in"])

_LARGE_BODY_BYTES = 262_144
"""From this size on a body is parsed in a thread; a smaller one is done sooner than a thread begins."""


@router.post(
    "/v1/messages",
    summary="The Messages API, with its images prepared",
    openapi_extra={**MESSAGES_BODY["openapi_extra"], **IDEMPOTENCY_KEY},
    responses=relayed(),
)
async def messages(
    request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf, once: OnceOf
) -> Response:
    """Every image block anywhere is prepared in place; everything else passes, and comes back, as it is."""
    watch = Stopwatch(services.clock.monotonic)
    with services.observer.step("receive"):
        body = await read_decoded(request, settings.max_body_bytes)
    kept = await once.kept(body)
    if kept is not None:
        return kept
    question = replace(await _understood(body, request, settings, caller, services), claim=once.claim)
    del body  # the base64 of pictures need not wait for the answer too
    watch.lap("receive")
    try:
        if question.stream:
            return await _streamed(request, question, services, watch, once.recording(), settings.stream_keep_alive_s)
        answer = await until_disconnect(
            request.receive, lambda: relay(question, services, watch, partial(_rendered, request, services, watch))
        )
    except UpstreamError as error:
        return refused(error, request)
    return Response(answer.content, answer.status, answer.headers)


def _rendered(request: Request, services: Services, watch: Stopwatch, answer: Relayed) -> WireAnswer:
    headers = _headers(answer, watch, services)
    content = answer.content
    if answer.billed:
        if answer.cost is not None:
            headers["x-vision-proxy-cost-usd"] = str(dollars(answer.cost.total_usd))
        content = _with_additions(content, answer.cost, answer.images if wants_report(request) else None)
    return WireAnswer(200, headers, content)


@router.post("/v1/messages/count_tokens", summary="The vendor's count", **MESSAGES_BODY, responses=relayed())
async def count_tokens(request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf) -> Response:
    """The input tokens of a Messages request, counted by the vendor with its images prepared."""
    watch = Stopwatch(services.clock.monotonic)
    with services.observer.step("receive"):
        body = await read_decoded(request, settings.max_body_bytes)
    question = await _understood(body, request, settings, caller, services)
    watch.lap("receive")
    try:
        answer = await until_disconnect(request.receive, lambda: relay_count(question, services, watch))
    except UpstreamError as error:
        return refused(error, request)
    return Response(answer.content, headers=_headers(answer, watch, services))


async def _understood(
    body: bytes, request: Request, settings: SettingsOf, caller: CallerOf, services: Services
) -> VisionRequest:
    policy = drop_in_policy(request, caller, settings)
    read = partial(from_messages, body, forwarded_headers(request), request.url.query, policy)
    with services.observer.step("parse"):
        return await off_loop(read) if len(body) > _LARGE_BODY_BYTES else read()


async def _streamed(
    request: Request,
    question: VisionRequest,
    services: Services,
    watch: Stopwatch,
    recording: Recording,
    keep_alive_s: float,
) -> Response:
    opened = AsyncExitStack()
    streamed = await until_disconnect(
        request.receive, lambda: opened.enter_async_context(relay_stream(question, services, watch))
    )
    watch.lap("upstream")
    headers = _headers(streamed, watch, services)
    request_id: str = request.state.request_id
    events = _events(streamed, services.observer, wants_report(request), request_id)

    async def close() -> None:
        await close_stream(streamed, recording.answer(response.headers), opened, request_id)

    response = EventResponse(recording.of(events), close, headers, keep_alive_s)
    return response


async def _events(
    streamed: RelayedStream,
    observer: Observer,
    report: bool,  # noqa: FBT001
    request_id: str,
) -> AsyncIterator[bytes]:
    """The vendor's events; the cost joins the usage of `message_delta`, the report comes before `message_stop`."""
    try:
        async for name, event in streamed.events():
            data = event_data(event) if name == "message_delta" else None
            if data is not None:
                yield _event(name, _with_additions(data, streamed.billed_so_far()[1], None))
                continue
            if name == "message_stop" and report:
                yield _event("vision_proxy.report", _report_json(streamed.images))
            yield event
    except Exception as error:  # noqa: BLE001 - the headers are sent; only an event can tell of it now
        told = what_ended(error, observer, request_id)
        yield _event("error", json.dumps(error_body(told, request_id)).encode())


def _with_additions(content: bytes, cost: Cost | None, images: tuple[ImageReport, ...] | None) -> bytes:
    """A JSON object with `usage.cost`, and `images` where asked for; every other member as it was spelt."""
    members = msgspec.json.decode(content, type=JsonObject)
    if bytes(members.get("usage", b"")).startswith(b"{"):
        usage = msgspec.json.decode(members["usage"], type=JsonObject)
        usage["cost"] = msgspec.Raw(b"null" if cost is None else str(dollars(cost.total_usd)).encode())
        members["usage"] = msgspec.Raw(msgspec.json.encode(usage))
    if images is not None:
        members["images"] = msgspec.Raw(_images_json(images))
    return msgspec.json.encode(members)


def _headers(answer: Relayed | RelayedStream, watch: Stopwatch, services: Services) -> dict[str, str]:
    headers = passed_back(answer.headers)
    headers["x-vision-proxy-image-tokens"] = str(answer.image_tokens)
    headers["server-timing"] = server_timing(watch)
    headers |= rate_limit_headers(answer.rate_limits, services.clock.now())
    if answer.notices:
        headers["x-vision-proxy-warnings"] = ", ".join(notice.code for notice in answer.notices)
    return headers


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _report_json(images: tuple[ImageReport, ...]) -> bytes:
    return b'{"type":"vision_proxy.report","images":' + _images_json(images) + b"}"


def _images_json(images: tuple[ImageReport, ...]) -> bytes:
    return json.dumps([body.model_dump(mode="json") for body in image_bodies(images, None)]).encode()
