"""One sandbox on a real port for all of these tests, and a client that talks to it."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import anthropic
import httpx2
import pytest

from app.sandbox import State, sandbox_in_thread

StartSandbox = Callable[[State], httpx2.Client]


@pytest.fixture(scope="session")
def sandbox_url() -> Generator[str]:
    """The base URL of a sandbox that runs in a thread."""
    with sandbox_in_thread() as url:
        yield url


@pytest.fixture
def client(sandbox_url: str) -> Generator[httpx2.Client]:
    """A client with a key of its own, on a sandbox with an empty journal."""
    with httpx2.Client(base_url=sandbox_url, headers={"x-api-key": "test-key"}, timeout=30) as client:
        client.delete("/sandbox/journal").raise_for_status()
        yield client


@pytest.fixture
def sdk(sandbox_url: str) -> Generator[anthropic.Anthropic]:
    """The official SDK with the key of `client`; it retries nothing."""
    with anthropic.Anthropic(api_key="test-key", base_url=sandbox_url, max_retries=0) as sdk:
        yield sdk


class Clock:
    """A clock that stands still until it is told to go on; it begins on 1 December 2026 at noon."""

    def __init__(self) -> None:
        self._now = datetime(2026, 12, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self._now

    def advance(self, **duration: int) -> None:
        self._now += timedelta(**duration)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start_sandbox() -> Generator[StartSandbox]:
    """Starts a sandbox with a state of the test's own and gives a client for it."""
    with ExitStack() as running:

        def start(state: State) -> httpx2.Client:
            url = running.enter_context(sandbox_in_thread(state=state))
            return running.enter_context(httpx2.Client(base_url=url, headers={"x-api-key": "test-key"}, timeout=30))

        yield start
