"""Request bodies, read under a cap, a budget and a deadline; what is over one is refused when it is passed."""

from collections.abc import AsyncIterator, Callable
from io import BytesIO
from typing import TypeVar, TypeVarTuple

import anyio
from anyio import to_thread
from anyio.lowlevel import RunVar
from starlette.requests import Request

from app.errors import AppError, ErrorCode
from app.web.gate import pace_of, room_of


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body, each piece put where it belongs as it comes. Raises as `read_chunks`."""
    incoming = _Incoming(request, max_bytes)
    await incoming.admit()
    body = BytesIO(bytes(incoming.declared_bytes))  # zeros take no memory until they are written over
    with anyio.CancelScope(deadline=incoming.deadline) as scope:
        while piece := await incoming.next():
            body.write(piece)
            scope.deadline = incoming.deadline
    if scope.cancelled_caught:
        raise incoming.too_slow()
    body.truncate()
    return body.getvalue()


async def read_chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body piece by piece, once there is room for it; the time that others take with them counts too.

    Raises:
        AppError: `body_too_large`, at once where `content-length` says so, else with the piece that passes the cap;
            `busy` where there is no room; `body_too_slow`; `client_closed` where the sender left.
    """
    incoming = _Incoming(request, max_bytes)
    await incoming.admit()
    while True:
        piece = b""
        with anyio.CancelScope(deadline=incoming.deadline) as scope:
            piece = await incoming.next()
        if scope.cancelled_caught:
            raise incoming.too_slow()
        if not piece:
            return
        yield piece


class _Incoming:
    """One body as it comes in, held to its cap, its room and its pace."""

    def __init__(self, request: Request, max_bytes: int) -> None:
        declared = request.headers.get("content-length", "")
        self.declared_bytes = int(declared) if declared.isdecimal() else 0
        self._receive = request.receive
        self._max_bytes = max_bytes
        self._room = room_of(request)
        self._pace = pace_of(request)
        self._began = anyio.current_time()
        self._received = 0
        self._more = True

    async def admit(self) -> None:
        """Wait until there is room for as much as is declared; only then does the time begin."""
        if self.declared_bytes > self._max_bytes:
            fact = f"the body is {self.declared_bytes} bytes"
            raise body_too_large(fact, self.declared_bytes, self._max_bytes)
        await self._room.receive(self.declared_bytes)
        self._began = anyio.current_time()

    @property
    def deadline(self) -> float:
        """When the next piece must have come."""
        return self._began + self._allowed_s

    @property
    def _allowed_s(self) -> float:
        return self._pace.grace_s + self._received / self._pace.least_bytes_per_s

    async def next(self) -> bytes:
        """The next piece; empty at the end."""
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise AppError(ErrorCode.CLIENT_CLOSED, "the client left before its body was complete")
            self._more = message.get("more_body", False)
            piece: bytes = message.get("body", b"")
            if not piece:
                continue
            self._received += len(piece)
            if self._received > self._max_bytes:
                fact = f"the body is longer than {self._max_bytes} bytes"
                raise body_too_large(fact, self._received, self._max_bytes)
            if self._received > self.declared_bytes:
                await self._room.receive(self._received)
            return piece
        return b""

    def too_slow(self) -> AppError:
        """The refusal of a body whose deadline has passed."""
        return AppError(
            ErrorCode.BODY_TOO_SLOW,
            f"{self._received} bytes of the body came within {self._allowed_s:.0f} s; the least is "
            f"{self._pace.least_bytes_per_s} bytes a second after {self._pace.grace_s:g} s",
            actual=self._received,
            hint="send smaller pictures, or send them over a faster connection",
        )


def body_too_large(fact: str, actual: int, limit: int) -> AppError:
    """The refusal of a body; `fact` says how long it is."""
    return AppError(
        ErrorCode.BODY_TOO_LARGE,
        f"{fact}; the limit is {limit} bytes",
        actual=actual,
        limit=limit,
        hint="send the pictures in several requests; the operator sets VISION_PROXY_MAX_BODY_BYTES",
    )


_PARSED_AT_ONCE = 2
_parsing = RunVar[anyio.CapacityLimiter]("_parsing")

_Result = TypeVar("_Result")
_Given = TypeVarTuple("_Given")


async def off_loop(work: Callable[[*_Given], _Result], *given: *_Given) -> _Result:
    """The result of work on a body, done in a thread: parsing megabytes must not hold up the event loop.

    A few at a time: Python runs one thread after the other, and the loop has to wait for its turn among them.
    """
    try:
        limiter = _parsing.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_PARSED_AT_ONCE)
        _parsing.set(limiter)
    return await to_thread.run_sync(work, *given, limiter=limiter)
