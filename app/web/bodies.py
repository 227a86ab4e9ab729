"""Request bodies, read under a cap: what is over it is refused when the cap is passed, not after."""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar, TypeVarTuple

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request

from app.errors import AppError, ErrorCode


async def read_chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body piece by piece.

    Raises:
        AppError: `body_too_large`, at once where `content-length` says so, else with the piece that passes the cap;
            `client_closed` where the sender left.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise body_too_large(f"the body is {int(declared)} bytes", int(declared), max_bytes)
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > max_bytes:
                raise body_too_large(f"the body is longer than {max_bytes} bytes", received, max_bytes)
            yield chunk
    except ClientDisconnect as error:
        raise AppError(ErrorCode.CLIENT_CLOSED, "the client left before its body was complete") from error


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


_Result = TypeVar("_Result")
_Given = TypeVarTuple("_Given")


async def off_loop(work: Callable[[*_Given], _Result], *given: *_Given) -> _Result:
    """The result of work on a body, done in a thread: parsing megabytes must not hold up the event loop."""
    return await to_thread.run_sync(work, *given)
