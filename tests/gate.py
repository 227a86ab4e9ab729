"""The sandbox behind a gate: requests that would be billed wait before it for as long as it is shut."""

import asyncio
from threading import Lock, Semaphore

from starlette.types import Receive, Scope, Send

from app.sandbox import create_sandbox


class Gate:
    """Open until it is shut; `decided` is released for each request that arrives while it is."""

    def __init__(self) -> None:
        self.decided = Semaphore(0)
        self._sandbox = create_sandbox()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._is_shut = False
        self._lock = Lock()

    def shut(self) -> None:
        """From now on requests wait."""
        self._is_shut = True

    def open(self) -> int:
        """How many had waited; all go on."""
        with self._lock:
            self._is_shut = False
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)
        return len(waiting)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/v1/messages":
            await self._pass()
        await self._sandbox(scope, receive, send)

    async def _pass(self) -> None:
        event = asyncio.Event()
        with self._lock:
            if not self._is_shut:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        self.decided.release()
        await event.wait()
