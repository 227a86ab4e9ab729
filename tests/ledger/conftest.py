"""A ledger on each database in turn, a clock that a test moves, and short ways to reserve and settle."""

import pytest

from tests.ledger.making import Clock


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()
