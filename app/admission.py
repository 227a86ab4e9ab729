"""Who may take memory now: within a budget of bytes, and of places where there are such, in the order of asking."""

from collections import deque
from dataclasses import dataclass, field

import anyio


@dataclass(slots=True, eq=False)
class Share:
    """What one holder has of the budget."""

    size_bytes: int = 0


@dataclass(slots=True, eq=False)
class _Waiting:
    share: Share
    more_bytes: int
    admitted: anyio.Event = field(default_factory=anyio.Event)


class Admission:
    """Shares of a budget, handed out first come, first served, waited for with a deadline.

    `taken` counts the holders, `in_use_bytes` what they hold, `refused` those for whom the wait was too long.
    """

    def __init__(self, budget_bytes: int, timeout_s: float, places: int | None = None) -> None:
        """Who needs more than the whole budget is let in alone; without `places` any number may hold shares."""
        self.budget_bytes = budget_bytes
        self.timeout_s = timeout_s
        self.taken = 0
        self.in_use_bytes = 0
        self.refused = 0
        self._places = places
        self._arriving: deque[_Waiting] = deque()
        self._growing: deque[_Waiting] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a share, or for a larger one."""
        return len(self._arriving) + len(self._growing)

    async def enter(self, size_bytes: int) -> Share:
        """A share of that size; whoever gets it calls `leave`.

        Raises:
            TimeoutError: there was no room in time.
        """
        waiting = _Waiting(Share(), min(size_bytes, self.budget_bytes))
        try:
            await self._wait(waiting, self._arriving)
        except BaseException:
            if waiting.admitted.is_set():  # at the last moment
                self.leave(waiting.share)
            raise
        return waiting.share

    async def grow(self, share: Share, size_bytes: int) -> None:
        """Make the share that large. Who grows goes before who arrives, for there is no other way to be done.

        Where all that is held is held by those who wait to grow, the first of them is let above the budget.

        Raises:
            TimeoutError: there was no room in time; the share is what it was.
        """
        more_bytes = min(size_bytes, self.budget_bytes) - share.size_bytes
        if more_bytes > 0:
            await self._wait(_Waiting(share, more_bytes), self._growing)

    def leave(self, share: Share) -> None:
        """Give the share back."""
        self.taken -= 1
        self.in_use_bytes -= share.size_bytes
        share.size_bytes = 0
        self._admit()

    async def _wait(self, waiting: _Waiting, queue: deque[_Waiting]) -> None:
        queue.append(waiting)
        self._admit()
        try:
            with anyio.move_on_after(self.timeout_s):
                await waiting.admitted.wait()
        finally:
            if not waiting.admitted.is_set():
                queue.remove(waiting)
                self._admit()
        if not waiting.admitted.is_set():
            self.refused += 1
            raise TimeoutError

    def _admit(self) -> None:
        """Let in from the front of the queues while there is room; nobody overtakes a large one."""
        while self._growing and (self._fits(self._growing[0]) or len(self._growing) == self.taken):
            self._grant(self._growing.popleft())
        while self._arriving and not self._growing and self._has_place() and self._fits(self._arriving[0]):
            self.taken += 1
            self._grant(self._arriving.popleft())

    def _has_place(self) -> bool:
        return self._places is None or self.taken < self._places

    def _fits(self, waiting: _Waiting) -> bool:
        return self.in_use_bytes + waiting.more_bytes <= self.budget_bytes

    def _grant(self, waiting: _Waiting) -> None:
        waiting.share.size_bytes += waiting.more_bytes
        self.in_use_bytes += waiting.more_bytes
        waiting.admitted.set()
