"""/v1/messages/batches: the vendor's own endpoints, each caller's batches for that caller alone, each result priced."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import anyio
import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.domain import Caller
from app.errors import AppError, ErrorCode, UpstreamError
from app.pipeline import Reply, Services, Stopwatch, WireAnswer
from app.pipeline.batch_reading import BATCHES, with_results_at
from app.pipeline.batching import (
    BatchCall,
    PageAsked,
    Submitted,
    cancel_batch,
    delete_batch,
    list_batches,
    open_results,
    show_batch,
    submit_batch,
)
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.disconnect import cancel_on_disconnect, until_disconnect
from app.web.documentation import IDEMPOTENCY_KEY, MESSAGES_BODY, page_limit, relayed, relayed_of_batch
from app.web.encodings import read_decoded
from app.web.idempotency import OnceOf
from app.web.rates import rate_limit_headers
from app.web.reading import forwarded_headers
from app.web.relay import drop_in_policy, passed_back, refused, server_timing

_log = logging.getLogger(__name__)

router = APIRouter(tags=["drop-in"])

_ONE = BATCHES + "/{batch_id}"


DEFAULT_PAGE = 20
MAX_PAGE = 1_000
"""Batches per page. Source of both: anthropic 2.12.0, resources/messages/batches.py."""

_LIST_FIELDS = frozenset({"limit", "before_id", "after_id"})
_LIST_QUERY: dict[str, Any] = {
    "parameters": [
        page_limit(DEFAULT_PAGE, MAX_PAGE),
        {"name": "after_id", "in": "query", "schema": {"type": "string"}, "description": "The page behind this batch."},
        {"name": "before_id", "in": "query", "schema": {"type": "string"}, "description": "The page before it."},
    ]
}


def _batch_body() -> dict[str, Any]:
    """The request body of a new batch, for /docs."""
    content = MESSAGES_BODY["openapi_extra"]["requestBody"]["content"]["application/json"]
    example = {"requests": [{"custom_id": "page-1", "params": content["example"]}]}
    schema = {"type": "object", "description": "Requests of the Messages API, each with an id of the caller's."}
    body = {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}
    return {"requestBody": body}


@router.post(
    BATCHES,
    summary="A batch of Messages requests",
    openapi_extra={**_batch_body(), **IDEMPOTENCY_KEY},
    responses=relayed(),
)
async def create(
    request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf, once: OnceOf
) -> Response:
    """Every image of every request is prepared first; where one cannot be, nothing is submitted."""
    watch = Stopwatch(services.clock.monotonic)
    with services.observer.step("receive"):
        body = await read_decoded(request, settings.max_body_bytes)
    kept = await once.kept(body)
    if kept is not None:
        return kept
    watch.lap("receive")
    policy, call = replace(drop_in_policy(request, caller, settings), claim=once.claim), _call(request, caller)
    render = partial(_rendered, request, services, watch)
    try:
        made = await until_disconnect(
            request.receive, lambda: submit_batch(body, policy, call, services, watch, render)
        )
    except UpstreamError as error:
        return refused(error, request)
    return Response(made.content, made.status, made.headers)


def _rendered(request: Request, services: Services, watch: Stopwatch, made: Submitted) -> WireAnswer:
    headers = passed_back(made.reply.headers) | rate_limit_headers(made.rate_limits, services.clock.now())
    headers["x-vision-proxy-image-tokens"] = str(made.image_tokens)
    headers["server-timing"] = server_timing(watch)
    return WireAnswer(200, headers, with_results_at(made.reply.content, str(request.base_url)))


@router.get(BATCHES, summary="The caller's batches", openapi_extra=_LIST_QUERY, responses=relayed())
async def show_batches(request: Request, caller: CallerOf, services: ServicesOf) -> Response:
    """Newest first, paged as the vendor pages."""
    asked = _asked(request)
    try:
        page = await list_batches(asked, _call(request, caller), services)
    except UpstreamError as error:
        return refused(error, request)
    base_url = str(request.base_url)
    listed = {
        "data": [msgspec.Raw(with_results_at(batch, base_url)) for batch in page.batches],
        "has_more": page.has_more,
        "first_id": page.first_id,
        "last_id": page.last_id,
    }
    return Response(msgspec.json.encode(listed), media_type="application/json")


@router.get(_ONE, summary="One batch", responses=relayed_of_batch())
async def get_batch(request: Request, batch_id: str, caller: CallerOf, services: ServicesOf) -> Response:
    """As the vendor says it is; its `results_url` is at this service."""
    return await _relayed(request, show_batch(batch_id, _call(request, caller), services))


@router.post(_ONE + "/cancel", summary="Cancel a batch", responses=relayed_of_batch())
async def cancel(request: Request, batch_id: str, caller: CallerOf, services: ServicesOf) -> Response:
    """What has not begun is not done, and not billed."""
    return await _relayed(request, cancel_batch(batch_id, _call(request, caller), services))


@router.delete(_ONE, summary="Delete a batch that has ended", responses=relayed_of_batch())
async def remove(request: Request, batch_id: str, caller: CallerOf, services: ServicesOf) -> Response:
    """Its results are gone with it; what they cost is read from them first."""
    return await _relayed(request, delete_batch(batch_id, _call(request, caller), services))


@router.get(_ONE + "/results", summary="The results of a batch, one a line", responses=relayed_of_batch())
async def get_results(request: Request, batch_id: str, caller: CallerOf, services: ServicesOf) -> Response:
    """JSON lines as the vendor sends them, in no order; `usage.cost` of each is at batch prices."""
    results = open_results(batch_id, _call(request, caller), services)
    opened = AsyncExitStack()
    try:
        begun = await until_disconnect(request.receive, lambda: opened.enter_async_context(results))
    except UpstreamError as error:
        return refused(error, request)
    return _LinesResponse(begun.lines(), opened.aclose, passed_back(begun.headers), request.state.request_id)


def _call(request: Request, caller: Caller) -> BatchCall:
    """Whose the batches are, and what goes on; what a list asks for is asked of our own table."""
    query = urlencode([(name, value) for name, value in request.query_params.multi_items() if name not in _LIST_FIELDS])
    return BatchCall(caller.id, forwarded_headers(request), query)


def _asked(request: Request) -> PageAsked:
    query = request.query_params
    before_id, after_id = query.get("before_id"), query.get("after_id")
    if before_id is not None and after_id is not None:
        message = "before_id and after_id cannot both be given"
        raise AppError(ErrorCode.INVALID_REQUEST, message, field="before_id")
    return PageAsked(_read_limit(query.get("limit")), before_id, after_id)


def _read_limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_PAGE:
        message = f"limit: {text[:20]!r} is no whole number from 1 to {MAX_PAGE}"
        raise AppError(ErrorCode.INVALID_REQUEST, message, field="limit")
    return int(text)


async def _relayed(request: Request, asking: Awaitable[Reply]) -> Response:
    try:
        reply = await asking
    except UpstreamError as error:
        return refused(error, request)
    return Response(with_results_at(reply.content, str(request.base_url)), headers=passed_back(reply.headers))


class _LinesResponse(StreamingResponse):
    """Sends lines as they come, until they end or the client leaves; `close` is awaited whatever happens.

    Where they break off the answer is left unfinished, and the server closes the connection: only so does a client
    learn that lines are missing.
    """

    media_type = "application/x-jsonl"

    def __init__(
        self,
        lines: AsyncIterator[bytes],
        close: Callable[[], Awaitable[None]],
        headers: dict[str, str],
        request_id: str,
    ) -> None:
        super().__init__(lines, headers=headers)
        self._lines = lines
        self._close = close
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_on_disconnect, receive, tasks.cancel_scope)
                await self._send_lines(send)
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._close()

    async def _send_lines(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for line in self._lines:
                await send({"type": "http.response.body", "body": line, "more_body": True})
        except AppError as error:
            _log.warning("request %s: the results of a batch broke off: %s", self._request_id, error.message)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
