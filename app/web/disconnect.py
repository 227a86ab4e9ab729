"""Work that stops when the client leaves: whatever it awaits, an upstream call above all, is cancelled at once."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from starlette.types import Receive

from app.errors import AppError, ErrorCode

_Result = TypeVar("_Result")


async def until_disconnect(receive: Receive, work: Callable[[], Awaitable[_Result]]) -> _Result:
    """The result of the work. The body must have been read.

    Raises:
        AppError: the work's own, or `client_closed`.
    """
    results: list[_Result] = []
    failure: AppError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_on_disconnect, receive, tasks.cancel_scope)
        try:
            results.append(await work())
        except AppError as error:  # carried out by hand: a task group would wrap it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not results:
        raise AppError(ErrorCode.CLIENT_CLOSED, "the client left before the answer was ready")
    return results[0]


async def cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel the scope once the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
