"""Leaving: told to stop, the service says so, finishes what is in progress up to a deadline, cuts short the rest.

Works under any server that ends on SIGTERM and SIGINT by handlers of its own, in each of its processes: ours come
before them and hand the signal on once nothing is left to do.
"""

import asyncio
import json
import logging
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError, ErrorCode
from app.pipeline import Observer
from app.web.errors import error_body, error_response

PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Answered to the last, and waited for by nobody."""

_SETTLING_S = 5.0
"""How long what was cut short may take to write down what it cost."""

_log = logging.getLogger(__name__)


class Drain:
    """Whether the process is about to end, and which requests are in progress."""

    def __init__(self, delay_s: float, timeout_s: float) -> None:
        """New requests are served for `delay_s` more; those in progress may take `timeout_s` from the beginning."""
        self.begun = False
        self.refusing = False
        self.hurried = False
        self._delay_s = delay_s
        self._timeout_s = timeout_s
        self._in_progress: set[anyio.CancelScope] = set()
        self._told = asyncio.Event()
        self._stirred = asyncio.Event()

    @property
    def in_progress(self) -> int:
        """How many requests are."""
        return len(self._in_progress)

    def begin(self) -> None:
        """Be told to stop, perhaps once more; call it on the event loop."""
        self.begun = True
        self._told.set()
        self._stirred.set()

    @contextmanager
    def request(self) -> Generator[anyio.CancelScope]:
        """The scope of one request in progress; cancelled where the deadline comes first."""
        with anyio.CancelScope() as scope:
            self._in_progress.add(scope)
            try:
                yield scope
            finally:
                self._in_progress.discard(scope)
                self._stirred.set()

    async def done(self) -> None:
        """Return once it has begun and nothing is left in progress, or what was left has been cut short."""
        await self._told.wait()
        began = anyio.current_time()
        _log.info("told to stop; %d requests in progress", self.in_progress)
        await self._wait(began + self._delay_s, lambda: self.hurried)
        self.refusing = True
        await self._wait(began + self._timeout_s, lambda: self.hurried or not self._in_progress)
        if self._in_progress:
            _log.warning("%d requests cut short after %g s", self.in_progress, anyio.current_time() - began)
        for scope in tuple(self._in_progress):
            scope.cancel()
        await self._wait(anyio.current_time() + _SETTLING_S, lambda: not self._in_progress)

    async def _wait(self, deadline: float, over: Callable[[], bool]) -> None:
        """Return when it is over, or at the deadline."""
        with anyio.CancelScope(deadline=deadline):
            while not over():
                self._stirred.clear()
                await self._stirred.wait()


class Draining:
    """Refuses requests once the process is ending, and cuts short those that take too long then."""

    def __init__(self, app: ASGIApp, drain: Drain, observer: Observer) -> None:
        """`drain` and `observer` are those of the process."""
        self._app = app
        self._drain = drain
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; probes, and what is no HTTP, are not touched."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        if self._drain.refusing:
            refused = AppError(ErrorCode.DRAINING, "this process is ending; send the request again", retry_after_s=1)
            self._observer.refused(refused)
            await _response(refused, scope)(scope, receive, send)
            return
        answer = _Answer(send)
        with self._drain.request() as cut:
            await self._app(scope, receive, answer.send)
        if cut.cancelled_caught and not answer.ended:
            reason = "this process had to end before the answer was complete"
            refused = AppError(ErrorCode.DRAINING, reason, retry_after_s=1)
            self._observer.refused(refused)
            await answer.cut_short(refused, scope, receive)


class _Answer:
    """One answer as far as it has been sent; `ended` once that is all of it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self.ended = False
        self._streams_events = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            kinds = [value for name, value in message["headers"] if name == b"content-type"]
            self._streams_events = any(kind.startswith(b"text/event-stream") for kind in kinds)
        elif message["type"] == "http.response.body":
            self.ended = not message.get("more_body", False)
        await self._send(message)

    async def cut_short(self, refused: AppError, scope: Scope, receive: Receive) -> None:
        """End it: with the error where the sender can be told, else unfinished, which closes the connection."""
        if not self._started:
            await _response(refused, scope)(scope, receive, self._send)
        elif self._streams_events:
            error = json.dumps(error_body(refused, scope["state"]["request_id"]))
            event = f"event: error\ndata: {error}\n\n".encode()
            await self._send({"type": "http.response.body", "body": event, "more_body": False})


def _response(refused: AppError, scope: Scope) -> ASGIApp:
    return error_response(refused, scope["state"]["request_id"])


@contextmanager
def on_signals(drain: Drain) -> Generator[Callable[[], None]]:
    """Begin the drain on SIGTERM and SIGINT; gives what hands the signal on to whoever handled it before.

    A second SIGINT is somebody at a terminal who does not want to wait. Outside the main thread nothing is done.
    """
    if current_thread() is not main_thread():
        yield lambda: None
        return
    former: dict[int, object] = {}
    caught: list[int] = []
    loop = asyncio.get_running_loop()

    def begin(signum: int, frame: FrameType | None) -> None:
        del frame
        drain.hurried = drain.begun and signum == signal.SIGINT
        caught.append(signum)
        drain.begun = True
        loop.call_soon_threadsafe(drain.begin)

    def hand_on() -> None:
        handler = former[caught[0]]
        if callable(handler):
            handler(caught[0], None)

    for signum in (signal.SIGTERM, signal.SIGINT):
        former[signum] = signal.signal(signum, begin)
    try:
        yield hand_on
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)  # pyright: ignore[reportArgumentType]
