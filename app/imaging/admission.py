"""Who may work on pixels now: at most so many at a time, within a budget of bytes, in the order in which they came."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from app.errors import ErrorCode, ImageError


@dataclass(slots=True)
class _Waiting:
    size_bytes: int
    admitted: anyio.Event = field(default_factory=anyio.Event)


class Admission:
    """Places and bytes, handed out first come, first served, waited for with a deadline. `taken` counts the places."""

    def __init__(self, places: int, budget_bytes: int, timeout_s: float) -> None:
        """What needs more than the whole budget is let in alone."""
        self._places = places
        self._budget_bytes = budget_bytes
        self._timeout_s = timeout_s
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self.taken = 0

    @asynccontextmanager
    async def place(self, size_bytes: int) -> AsyncGenerator[None]:
        """A place and that many bytes, for as long as it is held.

        Raises:
            ImageError: `busy`.
        """
        size_bytes = min(size_bytes, self._budget_bytes)
        await self._wait(_Waiting(size_bytes))
        try:
            yield
        finally:
            self.taken -= 1
            self._bytes -= size_bytes
            self._admit()

    async def _wait(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._admit()
        try:
            with anyio.move_on_after(self._timeout_s):
                await waiting.admitted.wait()
        except BaseException:
            self._leave(waiting)
            raise
        if not waiting.admitted.is_set():
            self._leave(waiting)
            raise busy(f"every image worker was taken for {self._timeout_s:g} s, the limit")

    def _leave(self, waiting: _Waiting) -> None:
        """Out of the queue; or, where the place came at the last moment, out of that."""
        if waiting.admitted.is_set():
            self.taken -= 1
            self._bytes -= waiting.size_bytes
        else:
            self._waiting.remove(waiting)
        self._admit()

    def _admit(self) -> None:
        """Let in from the front of the queue while there is room; nobody overtakes a large one."""
        while self._waiting and self.taken < self._places:
            first = self._waiting[0]
            if self._bytes + first.size_bytes > self._budget_bytes:
                return
            self._waiting.popleft()
            self.taken += 1
            self._bytes += first.size_bytes
            first.admitted.set()


def busy(reason: str) -> ImageError:
    """The refusal of work that this service cannot take on now, and may in a moment."""
    return ImageError(ErrorCode.BUSY, f"{reason}; nothing was spent, try again", retry_after_s=1)
