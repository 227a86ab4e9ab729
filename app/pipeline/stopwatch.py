"""How long each step of one request took."""

from collections.abc import Callable, Mapping


class Stopwatch:
    """Laps in milliseconds, from the moment it is made."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` gives seconds."""
        self._monotonic = monotonic
        self._start = self._last = monotonic()
        self._laps_ms: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End the current step under that name; a step that comes twice is added up."""
        now = self._monotonic()
        self._laps_ms[name] = round(self._laps_ms.get(name, 0) + (now - self._last) * 1000, 1)
        self._last = now

    def timing_ms(self) -> Mapping[str, float]:
        """Every step so far, and `total`."""
        return {**self._laps_ms, "total": round((self._last - self._start) * 1000, 1)}
