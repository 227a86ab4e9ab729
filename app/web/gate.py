"""What bounds the memory of all request bodies together, as pure ASGI: each request has a room in two budgets.

Nothing is asked for here: a body is admitted where it is read, after its sender has been told apart from strangers.
Requests without a body, health checks above all, never wait.
"""

from dataclasses import dataclass

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.admission import Admission
from app.pipeline import Observer, Room

_LINGER_S, _LINGER_BYTES = 2.0, 32_000_000
"""How long a refused sender may go on, and how much of that is thrown away; nothing is held meanwhile."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a body must come in: `least_bytes_per_s` on the whole, but for the first `grace_s`."""

    grace_s: float
    least_bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Gate:
    """The budgets of one process, of bodies being read and prepared, and of requests being sent; figures are theirs."""

    receiving: Admission
    sending: Admission
    pace: Pace


class Rooms:
    """Gives each request its room, and takes it back when the answer has ended."""

    def __init__(self, app: ASGIApp, gate: Gate, observer: Observer) -> None:
        """`gate` and `observer` are those of the process."""
        self._app = app
        self._gate = gate
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; nothing but HTTP is touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        room = Room(self._gate.receiving, self._gate.sending, self._observer)
        scope.setdefault("state", {}).update(room=room, pace=self._gate.pace)
        connection = _Connection(receive, send, room)
        try:
            await self._app(scope, connection.receive, connection.send)
        finally:
            room.leave()


class _Connection:
    """One request's connection; a refusal that comes before its body was read is made sure to arrive.

    A socket that is closed with bytes unread is reset, and many clients lose an answer that they have not read by then.
    So what still comes is thrown away for a moment, once the whole answer has been sent.
    """

    def __init__(self, receive: Receive, send: Send, room: Room) -> None:
        self._receive = receive
        self._send = send
        self._room = room
        self._unread = True
        self._closing = False

    async def receive(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._closing = (b"connection", b"close") in message["headers"]
        elif self._closing and self._unread and not message.get("more_body", False):
            self._room.leave()
            await self._send({**message, "more_body": True})
            with anyio.move_on_after(_LINGER_S):
                thrown_away = 0
                while self._unread and thrown_away < _LINGER_BYTES:
                    thrown_away += len((await self.receive()).get("body", b""))
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)


def room_of(request: Request) -> Room:
    """The room of a request."""
    return request.state.room


def pace_of(request: Request) -> Pace:
    """How fast the body of a request must come in."""
    return request.state.pace
