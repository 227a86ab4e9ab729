"""What bounds the memory of all request bodies together, as pure ASGI: each request has a room in two budgets.

Nothing is asked for here: a body is admitted where it is read, after its sender has been told apart from strangers.
Requests without a body, health checks above all, never wait.
"""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.admission import Admission
from app.pipeline import Room


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

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        """`gate` is that of the process."""
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; nothing but HTTP is touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        room = Room(self._gate.receiving, self._gate.sending)
        scope.setdefault("state", {}).update(room=room, pace=self._gate.pace)
        try:
            await self._app(scope, receive, send)
        finally:
            room.leave()


def room_of(request: Request) -> Room:
    """The room of a request."""
    return request.state.room


def pace_of(request: Request) -> Pace:
    """How fast the body of a request must come in."""
    return request.state.pace
