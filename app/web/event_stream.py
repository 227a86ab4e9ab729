"""Server-sent events out: kept alive while nothing comes, stopped when the client leaves, closed whatever happens."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.domain import Cost, Usage
from app.web.disconnect import cancel_on_disconnect

_log = logging.getLogger(__name__)

_COMMENT = b": keep-alive\n\n"


def event(name: str, data: BaseModel | str) -> bytes:
    """One event on the wire; `data` is a value of the contract or JSON text, and holds ASCII alone.

    Clients split lines at U+2028 and its like, which JSON may hold as they are.
    """
    text = data if isinstance(data, str) else json.dumps(data.model_dump(mode="json"))
    return f"event: {name}\ndata: {text}\n\n".encode()


def log_early_end(request_id: str, usage: Usage, cost: Cost | None) -> None:
    """Record what a stream had been billed when it ended before its answer did: counts and money, nothing else."""
    usd = None if cost is None else cost.total_usd
    _log.info("request %s ended early; billed by then: %s USD for %s", request_id, usd, dict(usage))


class EventResponse(StreamingResponse):
    """Sends the events of an iterator; `close` is awaited at the end, also where nothing was sent."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[bytes],
        close: Callable[[], Awaitable[None]],
        headers: dict[str, str],
        keep_alive_s: float,
    ) -> None:
        """`events` must turn its own failures into an event; a comment is sent every `keep_alive_s`."""
        super().__init__(events, headers={"cache-control": "no-store", "x-accel-buffering": "no", **headers})
        self._close = close
        self._keep_alive_s = keep_alive_s
        self._sending = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the events end or the client leaves."""
        del scope
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_on_disconnect, receive, tasks.cancel_scope)
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                tasks.start_soon(self._keep_alive, send)
                async for piece in self.body_iterator:
                    await self._send_piece(send, bytes(piece, "utf-8") if isinstance(piece, str) else bytes(piece))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._close()

    async def _send_piece(self, send: Send, piece: bytes) -> None:
        async with self._sending:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _keep_alive(self, send: Send) -> None:
        while True:
            await anyio.sleep(self._keep_alive_s)
            await self._send_piece(send, _COMMENT)
