"""vision-proxy and python -m app: serve, sandbox, keys, usage."""

import argparse
import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

import uvicorn

from app.database.failures import DATABASE_FAILURES, DatabaseUnusableError, cause_of
from app.database.sql import open_database
from app.errors import AppError
from app.key_commands import add_key_commands
from app.observe.logs import log_config
from app.observe.shared_values import shared_folder
from app.observe.tracing import TraceMode, Tracing
from app.settings import Settings, SettingsError, load_settings
from app.usage_commands import add_usage_commands

_LAST_S = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of one command."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (SettingsError, DatabaseUnusableError, AppError) as error:
        print(f"vision-proxy: {error}", file=sys.stderr)
    except DATABASE_FAILURES as error:
        print(f"vision-proxy: the database failed: {cause_of(error)}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision-proxy", description="Any picture into what Claude reads best.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the service")
    serve.add_argument("--host", help="address to listen on")
    serve.add_argument("--port", type=int, help="port to listen on")
    serve.add_argument("--workers", type=int, help="server processes")
    serve.set_defaults(run=_serve)
    sandbox = commands.add_parser("sandbox", help="run the offline stand-in for the Claude API alone")
    sandbox.add_argument("--host", default="127.0.0.1", help="address to listen on")
    sandbox.add_argument("--port", type=int, default=8001, help="port to listen on")
    sandbox.set_defaults(run=_sandbox)
    add_key_commands(commands.add_parser("keys", help="create, list, change and revoke keys"))
    add_usage_commands(commands.add_parser("usage", help="who spent what, and the ledger request by request"))
    return parser


def _serve(options: argparse.Namespace) -> int:
    """Run the service until it is told to stop; without a key for the Claude API, with its own sandbox."""
    signal.signal(signal.SIGTERM, _leave)
    for name in ("host", "port", "workers"):
        given = getattr(options, name)
        if given is not None:
            os.environ[f"VISION_PROXY_{name.upper()}"] = str(given)
    settings = load_settings()
    _try_address(settings.host, settings.port)
    _try_traces(settings.traces)
    asyncio.run(_try_database(settings.database_url))
    with shared_folder(os.environ) if settings.workers > 1 else nullcontext(), _upstream(settings):
        uvicorn.run(
            "app.main:create_app_from_environment",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            http="app.web.connections:Connection",
            log_config=log_config(settings.log_format),
            access_log=False,  # each request has one line of ours
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_LAST_S,  # requests have had their time before
        )
    return 0


def _leave(signum: int, frame: FrameType | None) -> None:
    """End with status 0: before the server has begun, and when it hands on the signal that ended it."""
    del signum, frame
    raise SystemExit(0)


def _try_address(host: str, port: int) -> None:
    """Listen for a moment, or fail in one line: the server would find out when all else has been started."""
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, socket.SOCK_STREAM) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"cannot listen on {host}, port {port}: {reason}"
        raise SettingsError(message) from error


def _try_traces(mode: TraceMode) -> None:
    """Read OpenTelemetry's variables, or fail in one line, as with the database."""
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())  # the server logs the same once it runs
    try:
        Tracing(mode).close()
    except ValueError as error:
        message = f"the variables of OpenTelemetry cannot be used: {error}"
        raise SettingsError(message) from error


async def _try_database(url: str) -> None:
    """Bring the tables up to date, or fail in one line, before any worker starts: workers would start over and over."""
    async with open_database(url):
        pass


def _sandbox(options: argparse.Namespace) -> int:
    from app.sandbox import serve_sandbox  # noqa: PLC0415 - a service with a key has no use for it

    _try_address(options.host, options.port)
    serve_sandbox(options.host, options.port)
    return 0


def _upstream(settings: Settings) -> AbstractContextManager[object]:
    """The Claude API if the operator gave a key, else a sandbox of our own, made known to every worker."""
    if settings.has_upstream:
        return nullcontext()
    if settings.anthropic_base_url is not None:
        message = "ANTHROPIC_BASE_URL is set but ANTHROPIC_API_KEY is not; set both, or neither for the sandbox"
        raise SettingsError(message)
    return _own_sandbox()


@contextmanager
def _own_sandbox() -> Generator[None]:
    """A sandbox in a thread of this process, which the settings of the environment point every worker at."""
    from app.sandbox import sandbox_in_thread  # noqa: PLC0415 - as above

    with sandbox_in_thread() as base_url:
        os.environ["ANTHROPIC_BASE_URL"] = base_url
        os.environ["ANTHROPIC_API_KEY"] = f"sandbox-{secrets.token_hex(16)}"
        os.environ["VISION_PROXY_SANDBOX"] = "true"
        yield


if __name__ == "__main__":
    sys.exit(main())
