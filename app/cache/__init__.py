"""Values kept in memory while there is room, the longest unused going first; each made once at a time."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import anyio

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Holds `max_bytes` at the most, as `size_of` measures values. One that is larger than all of it is not kept."""

    def __init__(self, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        """`max_bytes` of 0 keeps nothing."""
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._bytes = 0
        self._making: dict[Key, anyio.Event] = {}

    async def get_or_make(self, key: Key, make: Callable[[], Awaitable[Value]]) -> Value:
        """The value of the key; made by `make` where it is not kept.

        Whoever asks for what is being made waits for it; where making it fails, or is cancelled, the next one tries.
        """
        while key not in self._values and key in self._making:
            await self._making[key].wait()
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        made = self._making[key] = anyio.Event()
        try:
            value = await make()
            self._keep(key, value)
        finally:
            del self._making[key]
            made.set()
        return value

    def _keep(self, key: Key, value: Value) -> None:
        size = self._size_of(value)
        if size > self._max_bytes:
            return
        self._values[key] = value
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, oldest = self._values.popitem(last=False)
            self._bytes -= self._size_of(oldest)
