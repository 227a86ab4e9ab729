"""Serves the sandbox with uvicorn: in the foreground, or in a thread for as long as a block lasts."""

import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.sandbox.app import create_sandbox
from app.sandbox.attendance import HANG_UP
from app.sandbox.state import State

START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 10.0
GRACE_S = 1
"""How long requests in progress may go on when the server stops."""


def serve_sandbox(host: str, port: int) -> None:
    """Serve until interrupted."""
    config = uvicorn.Config(
        create_sandbox(), host, port, http=_Protocol, lifespan="off", timeout_graceful_shutdown=GRACE_S
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()


@contextmanager
def sandbox_in_thread(host: str = "127.0.0.1", port: int = 0, state: State | None = None) -> Generator[str]:
    """The base URL of a sandbox that listens until the block ends; port 0 takes any free one.

    `state` is what it begins with, by default nothing; the caller must not touch it before the block ends.

    Raises:
        OSError: the port is taken.
        RuntimeError: the server did not start within `START_DEADLINE_S`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        server = _QuietServer(
            _QuietConfig(create_sandbox(state), http=_QuietProtocol, lifespan="off", timeout_graceful_shutdown=GRACE_S)
        )
        thread = Thread(target=server.run, args=([listener],), name="vision-proxy-sandbox", daemon=True)
        thread.start()
        try:
            if not server.listening.wait(START_DEADLINE_S):
                raise RuntimeError(f"the sandbox did not start within {START_DEADLINE_S} s")
            bound_port: int = listener.getsockname()[1]
            yield f"http://{f'[{host}]' if ':' in host else host}:{bound_port}"
        finally:
            server.should_exit = True
            thread.join(STOP_DEADLINE_S)


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1 with the extension `HANG_UP`: ASGI itself has no way to close a connection without an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: {"close": self.transport.close}}


class _QuietProtocol(_Protocol):
    """The same without a line in the access log, which belongs to the server that this one runs beside."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.access_log = False


class _QuietConfig(uvicorn.Config):
    """A configuration that leaves logging as it is: uvicorn's loggers are one set for the whole process."""

    def configure_logging(self) -> None:
        pass


class _QuietServer(uvicorn.Server):
    """A server that tells a thread that it listens, and nobody else."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        pass
