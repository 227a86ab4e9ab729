"""One connection of a client's, as uvicorn speaks HTTP on it, with bounds to what comes before a body.

The bounds of bodies are those of whoever reads them. Many connections that bring much at once share the loop by turns.
"""

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import AppError, ErrorCode
from app.web.draining import PROBES
from app.web.errors import error_body
from app.web.turns import turns_of

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MAX_HEAD_BYTES = 65_536
"""Of the request line and all headers together."""

HEAD_TIMEOUT_S = 10.0
"""From the connection, or the first byte of the next request on it, to the end of the headers."""

_PIECE_BYTES = 4_096
"""Read in one turn of the loop, where it may be a thousand chunks or a hundred requests: a millisecond's work."""


class _Flow(FlowControl):
    """Reads nothing more while something that was read waits for its turn."""

    held = False

    def resume_reading(self) -> None:
        """Read on, once nothing waits."""
        if not self.held:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """HTTP/1.1; uvicorn itself keeps headers of any size, for as long as it takes them to come.

    A body of a known length is read as it comes, anything else piece by piece.
    """

    head_timeout_s = HEAD_TIMEOUT_S
    _flow: _Flow
    _head_bytes = 0
    _body_left_bytes = 0
    _unread = b""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for a request."""
        super().connection_made(transport)
        self.flow = self._flow = _Flow(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on: all of it, or a piece now and the rest when it is this connection's turn."""
        if self._unread:
            self._unread += data
            return
        self._unread = data
        self._read_piece()

    def _read_piece(self) -> None:
        while self._unread and not self.transport.is_closing():
            size = self._body_left_bytes or _PIECE_BYTES
            piece, self._unread = self._unread[:size], self._unread[size:]
            self._parse(piece)
            if self._unread and not self._body_left_bytes:
                self._flow.held = True
                self.flow.pause_reading()
                turns_of(self.loop).pieces.later(self._read_piece)
                return
        self._unread = b""
        self._let_go()

    def _let_go(self) -> None:
        """Read on, unless uvicorn too waits: for the app to take what has come, or for an answer before the next."""
        if self._flow.held:
            self._flow.held = False
            if not self.pipeline and not self._is_full():
                self.flow.resume_reading()

    def _is_full(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # none before the first request
        return cycle is not None and len(cycle.body) > HIGH_WATER_LIMIT

    def _parse(self, data: bytes) -> None:
        """Read on, unless the headers have become too many."""
        awaited = self._deadline is not None
        self._head_bytes += len(data) if awaited else 0
        super().data_received(data)
        if awaited and self._deadline is not None and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        """Begin with a request's first byte."""
        if self._deadline is None:
            self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Go on to its body."""
        self._stop_waiting()
        self._body_left_bytes = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take in some of it."""
        self._body_left_bytes = max(0, self._body_left_bytes - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Go on to the next request."""
        self._body_left_bytes = 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: "RequestResponseCycle", app: "ASGI3Application") -> None:
        """Begin a request when it is its turn; a health check at once."""
        if cycle.scope["path"] in PROBES:
            super()._start_asgi_task(cycle, app)
        else:
            turns_of(self.loop).beginnings.take(partial(self._begin, cycle, app))

    def _begin(self, cycle: "RequestResponseCycle", app: "ASGI3Application") -> None:
        if not cycle.disconnected:  # who has left while waiting wants nothing
            super()._start_asgi_task(cycle, app)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._deadline = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self) -> None:
        """Answer in the contract's shape, and close: what follows is not read."""
        error = AppError(
            ErrorCode.INVALID_REQUEST,
            f"the request line and headers are over {MAX_HEAD_BYTES} bytes, the limit",
            limit=MAX_HEAD_BYTES,
        )
        content = json.dumps(error_body(error, "")).encode()
        head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        self.transport.close()
