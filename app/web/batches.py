"""/v1/messages/batches: the vendor's own endpoints, the pictures of every request prepared, each result with its cost.

A batch is known by the vendor's id, and whoever may call this service may ask for any. Whose a batch is comes with the
ledger, which will remember who created it.
"""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.errors import AppError, ErrorCode, UpstreamError
from app.pipeline import Call, Services, Stopwatch
from app.pipeline.batching import BATCHES, make_ready_batch, results_with_cost, with_results_at
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.disconnect import cancel_on_disconnect, until_disconnect
from app.web.documentation import MESSAGES_BODY, relayed
from app.web.encodings import read_decoded
from app.web.reading import forwarded_headers
from app.web.relay import drop_in_policy, passed_back, refused, server_timing

_log = logging.getLogger(__name__)

router = APIRouter(tags=["drop-in"])

_ONE = BATCHES + "/{batch_id}"


def _batch_body() -> dict[str, Any]:
    """The request body of a new batch, for /docs."""
    content = MESSAGES_BODY["openapi_extra"]["requestBody"]["content"]["application/json"]
    example = {"requests": [{"custom_id": "page-1", "params": content["example"]}]}
    schema = {"type": "object", "description": "Requests of the Messages API, each with an id of the caller's."}
    body = {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}
    return {"requestBody": body}


def _batch_id(batch_id: str) -> str:
    """The id of the path, which becomes a part of the vendor's path.

    Raises:
        AppError: `unknown_route`, it could lead elsewhere there.
    """
    if re.fullmatch(r"[A-Za-z0-9_-]{1,256}", batch_id) is None:
        raise AppError(ErrorCode.UNKNOWN_ROUTE, "no batch has such an id", hint=f"GET {BATCHES} lists every batch")
    return batch_id


BatchId = Annotated[str, Depends(_batch_id)]


@router.post(BATCHES, summary="A batch of Messages requests", openapi_extra=_batch_body(), responses=relayed())
async def create_batch(request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf) -> Response:
    """Every image of every request is prepared first; where one cannot be, nothing is submitted."""
    watch = Stopwatch(services.clock.monotonic)
    body = await read_decoded(request, settings.max_body_bytes)
    watch.lap("receive")
    policy = drop_in_policy(request, caller, settings)
    ready = await until_disconnect(request.receive, lambda: make_ready_batch(body, policy, services))
    watch.lap("normalize")
    call = Call("POST", BATCHES, forwarded_headers(request), request.url.query, ready.body, resend=False)
    try:
        reply = await until_disconnect(request.receive, lambda: services.upstream.send(call))
    except UpstreamError as error:
        return refused(error)
    watch.lap("upstream")
    reply.json_object()  # refuses what is no JSON object
    headers = passed_back(reply.headers)
    headers["x-vision-proxy-image-tokens"] = str(ready.image_tokens)
    headers["server-timing"] = server_timing(watch)
    return Response(with_results_at(reply.content, str(request.base_url)), headers=headers)


@router.get(BATCHES, summary="The batches, newest first", responses=relayed())
async def list_batches(request: Request, caller: CallerOf, services: ServicesOf) -> Response:
    """Paged as the vendor pages."""
    del caller
    return await _relayed(request, "GET", BATCHES, services)


@router.get(_ONE, summary="One batch", responses=relayed())
async def get_batch(request: Request, batch_id: BatchId, caller: CallerOf, services: ServicesOf) -> Response:
    """As the vendor says it is; its `results_url` is at this service."""
    del caller
    return await _relayed(request, "GET", f"{BATCHES}/{batch_id}", services)


@router.post(_ONE + "/cancel", summary="Cancel a batch", responses=relayed())
async def cancel_batch(request: Request, batch_id: BatchId, caller: CallerOf, services: ServicesOf) -> Response:
    """What has not begun is not done, and not billed."""
    del caller
    return await _relayed(request, "POST", f"{BATCHES}/{batch_id}/cancel", services)


@router.delete(_ONE, summary="Delete a batch that has ended", responses=relayed())
async def delete_batch(request: Request, batch_id: BatchId, caller: CallerOf, services: ServicesOf) -> Response:
    """Its results are gone with it."""
    del caller
    return await _relayed(request, "DELETE", f"{BATCHES}/{batch_id}", services)


@router.get(_ONE + "/results", summary="The results of a batch, one a line", responses=relayed())
async def get_results(request: Request, batch_id: BatchId, caller: CallerOf, services: ServicesOf) -> Response:
    """JSON lines as the vendor sends them, in no order; `usage.cost` of each is at batch prices."""
    del caller
    call = Call("GET", f"{BATCHES}/{batch_id}/results", forwarded_headers(request), request.url.query)
    opened = AsyncExitStack()
    try:
        results = await until_disconnect(
            request.receive, lambda: opened.enter_async_context(services.upstream.stream(call))
        )
    except UpstreamError as error:
        return refused(error)
    lines = results_with_cost(results.chunks(), services)
    return _LinesResponse(lines, opened.aclose, passed_back(results.headers), request.state.request_id)


async def _relayed(
    request: Request, method: Literal["GET", "POST", "DELETE"], path: str, services: Services
) -> Response:
    try:
        reply = await services.upstream.send(Call(method, path, forwarded_headers(request), request.url.query))
    except UpstreamError as error:
        return refused(error)
    reply.json_object()  # refuses what is no JSON object
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
