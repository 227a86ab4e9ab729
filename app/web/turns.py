"""Turns of the event loop: what many could bring at once is done one after the other, one thing each turn.

A loop does all that is ready before it looks for what is new, so that a thousand small things that come together hold
up everybody else like a large one. Done one each turn, the rest of the service has its share between any two.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import anyio


class Turns:
    """Those who wait for a turn of one loop, first come, first served."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        """Nobody waits yet."""
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()
        self._given = False

    def take(self, work: Callable[[], object]) -> None:
        """Do the work now where nobody has had this turn, else after all who asked before."""
        if self._given:
            self._waiting.append(work)
        else:
            self._give(work)

    def later(self, work: Callable[[], object]) -> None:
        """Do the work in a turn to come, after all who asked before."""
        self._waiting.append(work)
        if not self._given:
            self._given = True
            self._loop.call_soon(self._next)

    async def wait(self) -> None:
        """Return in a turn to come, after all who asked before."""
        came = anyio.Event()
        self.later(came.set)
        await came.wait()

    def _give(self, work: Callable[[], object]) -> None:
        self._given = True
        self._loop.call_soon(self._next)
        work()

    def _next(self) -> None:
        self._given = False
        if self._waiting:
            self._give(self._waiting.popleft())


@dataclass(frozen=True, slots=True)
class LoopTurns:
    """Who begins a request, and who takes apart a piece of what came in; one of each has every turn."""

    beginnings: Turns
    pieces: Turns


_known: WeakKeyDictionary[AbstractEventLoop, LoopTurns] = WeakKeyDictionary()


def turns_of(loop: AbstractEventLoop) -> LoopTurns:
    """The turns of that loop, the same each time."""
    turns = _known.get(loop)
    if turns is None:
        turns = _known[loop] = LoopTurns(Turns(loop), Turns(loop))
    return turns
