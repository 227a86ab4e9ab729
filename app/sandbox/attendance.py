"""The pure ASGI layer around every request: id and headers, a place in the journal, the end when the client left."""

import secrets
from collections.abc import Callable
from typing import TypeAlias, cast

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.sandbox.journal import Journal, Visit

HANG_UP = "vision_proxy.sandbox.hang_up"
"""The ASGI extension by which `app.sandbox.server` lets the application close a connection without an answer."""

Close: TypeAlias = Callable[[], None]
"""Closes a connection after what was written to it."""

UNATTENDED = ("/livez", "/sandbox/")
"""Paths that the vendor does not have: kept out of the journal."""

RATE_LIMIT_HEADERS = {
    f"anthropic-ratelimit-{kind}-{part}": value
    for kind, limit, remaining in (
        ("requests", "1000", "999"),
        ("tokens", "2400000", "2399000"),
        ("input-tokens", "2000000", "1999000"),
        ("output-tokens", "400000", "400000"),
    )
    for part, value in (("limit", limit), ("remaining", remaining), ("reset", "2026-11-21T12:00:00Z"))
}
"""Fixed figures of the Start tier; the sandbox limits no rate.

Source: https://platform.claude.com/docs/en/api/rate-limits, seen 2026-08-22.
"""


class Attendance:
    """The application, attended."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        """Wrap `app`; visits go to `journal`."""
        self._app = app
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = cast("str", scope["path"])
        request_id = f"req_sandbox_{secrets.token_hex(12)}"
        if path.startswith(UNATTENDED):
            visit = Visit(request_id, scope["method"], path, {}, [], {})
            scope["sandbox.visit"] = visit
            await self._app(scope, receive, _dressed(send, visit))
            return
        visit = self._journal.begin(request_id, scope["method"], path, Headers(scope=scope))
        scope["sandbox.visit"] = visit
        try:
            await _while_connected(self._app, visit, scope, receive, _dressed(send, visit))
        finally:
            self._journal.end()


def visit_of(connection: HTTPConnection) -> Visit:
    """The visit that a request is."""
    return cast("Visit", connection.scope["sandbox.visit"])


async def hang_up(connection: HTTPConnection) -> None:
    """Close the connection as it is; never returns, for the end of the connection cancels the caller."""
    extensions = cast("dict[str, dict[str, Close]]", connection.scope.get("extensions", {}))
    if HANG_UP not in extensions:
        raise RuntimeError("this fault needs the sandbox's own server: app.sandbox.server")
    visit_of(connection).hung_up = True
    extensions[HANG_UP]["close"]()
    await anyio.sleep_forever()


async def _while_connected(app: ASGIApp, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
    arrived, inbox = anyio.create_memory_object_stream[Message]()
    async with arrived, inbox, anyio.create_task_group() as group:
        group.start_soon(_listen, visit, receive, arrived, group)
        await app(scope, inbox.receive, send)
        group.cancel_scope.cancel()


async def _listen(visit: Visit, receive: Receive, arrived: MemoryObjectSendStream[Message], group: TaskGroup) -> None:
    while (message := await receive())["type"] != "http.disconnect":
        visit.body_bytes += len(message.get("body", b""))
        await arrived.send(message)
    visit.disconnected = not (visit.answered or visit.hung_up)
    group.cancel_scope.cancel()


def _dressed(send: Send, visit: Visit) -> Send:
    async def send_dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            visit.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["request-id"] = visit.request_id
            headers["x-vision-proxy-sandbox"] = "true"
            headers.update(RATE_LIMIT_HEADERS)
        elif not message.get("more_body", False):
            # Before the bytes go: the client may leave as soon as it has them.
            visit.answered = True
        await send(message)

    return send_dressed
