"""One sandbox on a real port for all of these tests, and a client that talks to it."""

from collections.abc import Generator

import httpx2
import pytest

from app.sandbox import sandbox_in_thread


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
