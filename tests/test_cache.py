"""Values kept while there is room, each made once at a time."""

from collections.abc import Awaitable, Callable
from typing import Self

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.cache import BoundedCache

pytestmark = pytest.mark.anyio

Cache = BoundedCache[str, bytes]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Kitchen:
    """Makes values, and remembers what it made."""

    def __init__(self) -> None:
        self.made: list[bytes] = []

    def maker(self, value: bytes) -> Callable[[], Awaitable[bytes]]:
        async def make() -> bytes:
            self.made.append(value)
            await anyio.lowlevel.checkpoint()
            return value

        return make


async def test_a_value_is_made_once() -> None:
    cache, kitchen = Cache(10, len), Kitchen()

    values = [await cache.get_or_make("a", kitchen.maker(b"1")) for _ in range(2)]

    assert (values, kitchen.made) == ([b"1", b"1"], [b"1"])


@pytest.mark.parametrize("max_bytes", [10, 0])
async def test_those_who_ask_at_once_get_what_one_of_them_made(max_bytes: int) -> None:
    """Also where it is too large to keep."""
    cache, kitchen = Cache(max_bytes, len), Kitchen()
    values: list[bytes] = []

    async def ask() -> None:
        values.append(await cache.get_or_make("a", kitchen.maker(b"1")))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)

    assert (values, kitchen.made) == ([b"1"] * 5, [b"1"])


async def test_the_longest_unused_goes_first() -> None:
    cache, kitchen = Cache(4, len), Kitchen()
    for key in ("a", "b", "a", "c", "a", "b"):
        await cache.get_or_make(key, kitchen.maker(key.encode() * 2))

    assert kitchen.made == [b"aa", b"bb", b"cc", b"bb"]


async def test_what_is_larger_than_the_cache_pushes_nothing_out() -> None:
    cache, kitchen = Cache(4, len), Kitchen()
    for key, value in (("a", b"aa"), ("b", b"bbbbb"), ("a", b"aa"), ("b", b"bbbbb")):
        await cache.get_or_make(key, kitchen.maker(value))

    assert kitchen.made == [b"aa", b"bbbbb", b"bbbbb"]


async def test_those_who_wait_share_what_went_wrong() -> None:
    cache, kitchen = Cache(10, len), Kitchen()
    outcomes: list[bytes | str] = []

    async def fail() -> bytes:
        await anyio.wait_all_tasks_blocked()
        raise ValueError

    async def ask(make: Callable[[], Awaitable[bytes]]) -> None:
        try:
            outcomes.append(await cache.get_or_make("a", make))
        except ValueError:
            outcomes.append("failed")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, fail)
        tasks.start_soon(ask, kitchen.maker(b"1"))

    assert (outcomes, kitchen.made) == (["failed", "failed"], [])


async def test_what_went_wrong_is_not_kept() -> None:
    cache, kitchen = Cache(10, len), Kitchen()

    async def fail() -> bytes:
        raise ValueError("burnt")

    with pytest.raises(ValueError, match="burnt"):
        await cache.get_or_make("a", fail)

    assert await cache.get_or_make("a", kitchen.maker(b"1")) == b"1"


async def test_where_the_maker_is_cancelled_the_next_one_tries() -> None:
    cache, kitchen = Cache(10, len), Kitchen()
    values: list[bytes] = []

    async def never() -> bytes:
        await anyio.sleep_forever()
        return b""

    async def ask() -> None:
        values.append(await cache.get_or_make("a", kitchen.maker(b"1")))

    async with anyio.create_task_group() as tasks, anyio.create_task_group() as impatient:
        impatient.start_soon(cache.get_or_make, "a", never)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        impatient.cancel_scope.cancel()

    assert values == [b"1"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 12)), max_size=30))
@settings(deadline=None)
def test_it_never_holds_more_than_its_bytes(asked: list[tuple[str, int]]) -> None:
    weighed: list[int] = []

    class Weighed(bytes):
        """A value whose life is known."""

        __slots__ = ()

        def __new__(cls, size: int) -> Self:
            weighed.append(size)
            return super().__new__(cls, bytes(size))

        def __del__(self) -> None:
            weighed.remove(len(self))

    async def ask_all() -> None:
        cache = BoundedCache[str, Weighed](10, len)
        for key, size in asked:

            async def make(size: int = size) -> Weighed:
                return Weighed(size)

            await cache.get_or_make(key, make)
            assert sum(weighed) <= 10

    anyio.run(ask_all)
