"""The official SDK pointed at the service, and a wire that also keeps the queries."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import anthropic
import httpx2
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the service does."""
    return "asyncio"


class Witness:
    """The recorder of bodies, with the path and query of every request."""

    def __init__(self, wire: Any) -> None:
        self._app: ASGIApp = wire
        self.bodies: list[bytes] = wire.bodies
        self.targets: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.targets.append(f"{scope['path']}?{scope['query_string'].decode()}")
        await self._app(scope, receive, send)


@pytest.fixture
def wire(wire: Any) -> Witness:
    return Witness(wire)


@pytest.fixture
def sdk(service: httpx2.Client) -> Generator[anthropic.Anthropic]:
    """The synchronous client; it retries nothing."""
    with anthropic.Anthropic(base_url=str(service.base_url), api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_sdk(service: httpx2.Client) -> AsyncGenerator[anthropic.AsyncAnthropic]:
    """The asynchronous client; it retries nothing."""
    async with anthropic.AsyncAnthropic(base_url=str(service.base_url), api_key="any", max_retries=0) as client:
        yield client
