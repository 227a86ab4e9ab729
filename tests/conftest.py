"""The service on a real port in front of the sandbox on a real port: what every test of behaviour talks to."""

import json
import os
import socket
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Thread
from typing import Any

import anthropic  # noqa: F401 - no service may be at it when a test begins # pyright: ignore[reportUnusedImport]
import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image, ImageDraw
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.fetch import Fetcher
from app.main import create_app
from app.pipeline.ports import Clock
from app.sandbox import create_sandbox, sandbox_in_thread
from app.settings import Settings
from tests import log_capture
from tests.clock import MovableClock
from tests.postgres import Postgres, running_postgres

CORPUS = Path(__file__).parents[1].parent / "shared" / "corpus"

KIND = os.environ.get("VISION_PROXY_TEST_DATABASE", "sqlite")
"""What services that name no database of their own are started on: `sqlite`, in memory, or `postgresql`."""

for _name in [name for name in os.environ if name.startswith(("VISION_PROXY_", "ANTHROPIC_"))]:
    del os.environ[_name]  # a test runs the same on every machine

ADMIN = "the-key-of-the-operator"
"""The admin key of the services that `quick` and its like start."""

StartService = Callable[..., httpx2.Client]

_LOGS = pytest.StashKey[Path]()
_LEAKS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Gather everything that is logged, in a folder that all processes of the run share."""
    handed: dict[str, str] = getattr(config, "workerinput", {})
    folder = config.stash[_LOGS] = Path(handed["logs"]) if handed else Path(mkdtemp(prefix="vision-proxy-logs-"))
    log_capture.begin(folder, handed.get("workerid", "main"))


def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where that is."""
    node.workerinput["logs"] = str(node.config.stash[_LOGS])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run where a key, a prompt or a picture stands in what was logged."""
    if hasattr(session.config, "workerinput"):
        return
    leaks = session.config.stash[_LEAKS] = log_capture.search(session.config.stash[_LOGS])
    if leaks and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how much was searched, and what was found; the files stay where something was."""
    if _LEAKS not in config.stash:  # a worker of pytest-xdist
        return
    folder, leaks = config.stash[_LOGS], config.stash[_LEAKS]
    lines = log_capture.lines_in(folder)
    terminalreporter.write_line(f"{lines} lines of log searched for keys, prompts and pictures: {len(leaks)} leaks")
    for leak in leaks:
        terminalreporter.write_line(f"LEAK in {folder}: {leak}", red=True)
    if not leaks:
        rmtree(folder)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real pictures beside the project."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus of real pictures is not beside this checkout (../shared/corpus)")
    return CORPUS


@pytest.fixture(scope="session")
def sandbox_url() -> Generator[str]:
    with sandbox_in_thread() as url:
        yield url


@pytest.fixture(scope="session")
def sandbox(sandbox_url: str) -> Generator[httpx2.Client]:
    """The sandbox, asked directly."""
    with httpx2.Client(base_url=sandbox_url, timeout=60, headers={"x-api-key": "test"}) as client:
        yield client


@pytest.fixture(scope="session")
def fresh_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives the address of another empty database, of the kind that this run is on."""
    if KIND == "sqlite":
        return lambda: "sqlite+aiosqlite:///:memory:"
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh_database


@pytest.fixture(scope="session")
def service(sandbox_url: str, fresh_database: Callable[[], str]) -> Generator[httpx2.Client]:
    """The service with default settings, for tests that change nothing in it."""
    with _running(sandbox_url, database_url=fresh_database()) as client:
        yield client


@pytest.fixture
def start_service(sandbox_url: str, fresh_database: Callable[[], str]) -> Generator[StartService]:
    """Starts a service with settings of the test's own, e.g. `start_service(upstream_timeout_s=0.5)`.

    `fetcher` replaces the download of pictures by one that may reach this test's own server, `clock` the machine's.
    """
    with ExitStack() as running:

        def start(
            base_url: str = sandbox_url,
            fetcher: Fetcher | None = None,
            clock: Clock | None = None,
            **settings: object,
        ) -> httpx2.Client:
            own = settings if "database_url" in settings else {"database_url": fresh_database(), **settings}
            return running.enter_context(_running(base_url, fetcher, clock, **own))

        yield start


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def quick(start_service: StartService, clock: MovableClock) -> httpx2.Client:
    """A service with an admin key, on one kind of database, for what storage has no part in."""
    return start_service(admin_key=ADMIN, clock=clock)


class Wire:
    """The sandbox behind a recorder of request bodies: what truly left the service."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self._sandbox = create_sandbox()

    @property
    def last_request(self) -> dict[str, Any]:
        """The last body, decoded."""
        return json.loads(self.bodies[-1])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._sandbox(scope, receive, send)
            return
        chunks: list[bytes] = []

        async def recording() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                chunks.append(message.get("body", b""))
                if not message.get("more_body"):
                    self.bodies.append(b"".join(chunks))
            return message

        await self._sandbox(scope, recording, send)


@pytest.fixture
def scripted() -> Generator[Callable[..., str]]:
    """Makes an upstream that gives one answer to everything; gives its address."""
    with ExitStack() as running:

        def answer(content: bytes, status: int = 200, **headers: str) -> str:
            raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                if scope["type"] == "http":
                    del receive
                    await send({"type": "http.response.start", "status": status, "headers": raw})
                    await send({"type": "http.response.body", "body": content})

            return running.enter_context(_served(app))

        yield answer


Serve = Callable[[ASGIApp], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Serves an app on a port of its own for as long as a block lasts; gives its address."""
    return _served


@pytest.fixture
def without_files() -> Generator[str]:
    """The address of a sandbox that has no Files API."""
    sandbox = create_sandbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/files"):
            scope = {**scope, "path": "/v1/nothing"}
        await sandbox(scope, receive, send)

    with _served(app) as url:
        yield url


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def recorded(wire: Wire, start_service: StartService) -> Generator[httpx2.Client]:
    """A service whose upstream bodies `wire` records."""
    with _served(wire) as url:
        yield start_service(url)


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """A PostgreSQL server, started for the first test that asks for one."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"] if KIND == "sqlite" else ["postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a fresh database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/fresh.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh_database()


@pytest.fixture
def case() -> str:
    """A name under which the sandbox counts the faults of one test."""
    return os.urandom(8).hex()


@contextmanager
def _running(
    base_url: str, fetcher: Fetcher | None = None, clock: Clock | None = None, **settings: object
) -> Generator[httpx2.Client]:
    values: dict[str, object] = {
        "anthropic_base_url": base_url,
        "anthropic_api_key": "test",
        "sandbox": True,
    }
    app = create_app(Settings.model_validate({**values, **settings}), clock)
    with _served(app) as url, httpx2.Client(base_url=url, timeout=60) as client:
        if fetcher is not None:
            client.get("/readyz").raise_for_status()
            app.state.services = replace(app.state.services, fetcher=fetcher)
        yield client


@contextmanager
def _served(app: ASGIApp) -> Generator[str]:
    """The base URL of an app on a port of its own; the listener queues connections until the server accepts them."""
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, lifespan="on" if isinstance(app, FastAPI) else "off")
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture(scope="session")
def photo() -> Callable[..., bytes]:
    """Makes a picture that looks like a photograph to the encoder: smooth colour with fine noise."""

    def make(width: int, height: int, image_format: str = "JPEG", **options: object) -> bytes:
        noise = Image.effect_noise((width, height), 60).convert("L")
        ramp = Image.linear_gradient("L").transform((width, height), Image.Transform.EXTENT, (0, 0, 256, 256))
        picture = Image.merge("RGB", (noise, ramp, Image.blend(noise, ramp, 0.5)))
        return saved(picture, image_format, **options)

    return make


@pytest.fixture(scope="session")
def screen() -> Callable[..., bytes]:
    """Makes a picture that looks like a page of text: black words on white."""

    def make(width: int, height: int, image_format: str = "PNG", **options: object) -> bytes:
        picture = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(picture)
        for line in range(height // 20):
            draw.text((10, line * 20), f"Line {line}: the quick brown fox jumps over the lazy dog", fill="black")
        return saved(picture, image_format, **options)

    return make


def saved(picture: Image.Image, image_format: str, **options: object) -> bytes:
    """The file of a picture."""
    buffer = BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()
