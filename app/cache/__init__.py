"""Values kept in memory while there is room, the longest unused going first; each made once at a time."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(slots=True)
class _Making(Generic[Value]):
    """What is being made; neither a value nor an error once it has ended means that it was cancelled."""

    ended: anyio.Event = field(default_factory=anyio.Event)
    value: Value | None = None
    error: Exception | None = None


class BoundedCache(Generic[Key, Value]):
    """Holds `max_bytes` at the most, as `size_of` measures values. One that is larger than all of it is not kept.

    `hits` counts those who did not have to make what they asked for, `misses` those who did.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        """`max_bytes` of 0 keeps nothing."""
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self.held_bytes = 0
        self.hits = 0
        self.misses = 0
        self._making: dict[Key, _Making[Value]] = {}

    def __len__(self) -> int:
        """How many values are kept."""
        return len(self._values)

    async def get_or_make(self, key: Key, make: Callable[[], Awaitable[Value]]) -> Value:
        """The value of the key; made by `make` where it is not kept.

        Whoever asks for what is being made waits for it and gets the same: the value, or what went wrong. Only where
        the making was cancelled does the next one try.
        """
        while key not in self._values:
            making = self._making.get(key)
            if making is None:
                self.misses += 1
                return await self._make(key, make)
            await making.ended.wait()
            if making.error is not None:
                raise making.error
            if making.value is not None:
                self.hits += 1
                return making.value
        self.hits += 1
        self._values.move_to_end(key)
        return self._values[key]

    async def _make(self, key: Key, make: Callable[[], Awaitable[Value]]) -> Value:
        making = self._making[key] = _Making[Value]()
        try:
            making.value = await make()
        except Exception as error:
            making.error = error
            raise
        finally:
            del self._making[key]
            making.ended.set()
        self._keep(key, making.value)
        return making.value

    def _keep(self, key: Key, value: Value) -> None:
        size = self._size_of(value)
        if size > self._max_bytes:
            return
        self._values[key] = value
        self.held_bytes += size
        while self.held_bytes > self._max_bytes:
            _, oldest = self._values.popitem(last=False)
            self.held_bytes -= self._size_of(oldest)
