"""One connection of a client's, as uvicorn speaks HTTP on it, with bounds to what comes before a body.

The bounds of bodies are those of whoever reads them.
"""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import AppError, ErrorCode
from app.web.errors import error_body

MAX_HEAD_BYTES = 65_536
"""Of the request line and all headers together."""

HEAD_TIMEOUT_S = 10.0
"""From the connection, or the first byte of the next request on it, to the end of the headers."""


class Connection(HttpToolsProtocol):
    """HTTP/1.1; uvicorn itself keeps headers of any size, for as long as it takes them to come."""

    head_timeout_s = HEAD_TIMEOUT_S
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for a request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
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
        super().on_headers_complete()

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
