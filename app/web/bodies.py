"""Request bodies, read under a cap, a budget and a deadline; what is over one is refused when it is passed."""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar, TypeVarTuple

import anyio
from anyio import to_thread
from anyio.lowlevel import RunVar
from starlette.requests import ClientDisconnect, Request

from app.errors import AppError, ErrorCode
from app.web.gate import Pace, pace_of, room_of


async def read_chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body piece by piece, once there is room for it.

    Raises:
        AppError: `body_too_large`, at once where `content-length` says so, else with the piece that passes the cap;
            `busy` where there is no room; `body_too_slow`; `client_closed` where the sender left.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise body_too_large(f"the body is {int(declared)} bytes", int(declared), max_bytes)
    room, received = room_of(request), 0
    if declared.isdecimal():
        await room.receive(int(declared))
    try:
        async for chunk in _in_time(request.stream(), pace_of(request)):
            received += len(chunk)
            if received > max_bytes:
                raise body_too_large(f"the body is longer than {max_bytes} bytes", received, max_bytes)
            await room.receive(received)
            yield chunk
    except ClientDisconnect as error:
        raise AppError(ErrorCode.CLIENT_CLOSED, "the client left before its body was complete") from error


async def _in_time(pieces: AsyncIterator[bytes], pace: Pace) -> AsyncIterator[bytes]:
    """The pieces, as long as they come fast enough together; the time that others take with them counts too.

    Raises:
        AppError: `body_too_slow`.
    """
    began, received = anyio.current_time(), 0
    while True:
        allowed_s = pace.grace_s + received / pace.least_bytes_per_s
        try:
            with anyio.fail_after(began + allowed_s - anyio.current_time()):
                piece = await anext(pieces, None)
        except TimeoutError as error:
            raise AppError(
                ErrorCode.BODY_TOO_SLOW,
                f"{received} bytes of the body came within {allowed_s:.0f} s; the least is "
                f"{pace.least_bytes_per_s} bytes a second after {pace.grace_s:g} s",
                actual=received,
                hint="send smaller pictures, or send them over a faster connection",
            ) from error
        if piece is None:
            return
        received += len(piece)
        yield piece


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body. Raises as `read_chunks`."""
    return b"".join([chunk async for chunk in read_chunks(request, max_bytes)])


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
