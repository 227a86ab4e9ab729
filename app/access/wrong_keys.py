"""How many wrong keys each address sent lately; in the memory of one process, and never more than it may hold."""

import ipaddress
import math
from collections.abc import Callable

from app.errors import AppError, ErrorCode

MOST_A_MINUTE = 10
_WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000


class WrongKeys:
    """Counts by address, in windows of a minute that begin with the first wrong key."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` gives seconds that only go up."""
        self._monotonic = monotonic
        self._windows: dict[str, tuple[float, int]] = {}

    def count(self, address: str) -> None:
        """Note one more.

        Raises:
            AppError: `rate_limited`, they are too many.
        """
        now = self._monotonic()
        network = _network(address)
        began_at, wrong = self._windows.pop(network, (now, 0))
        if now - began_at >= _WINDOW_S:
            began_at, wrong = now, 0
        if len(self._windows) >= _MOST_ADDRESSES:
            del self._windows[next(iter(self._windows))]  # the one that has been quiet for longest
        self._windows[network] = (began_at, wrong + 1)
        if wrong >= MOST_A_MINUTE:
            raise AppError(
                ErrorCode.RATE_LIMITED,
                f"more than {MOST_A_MINUTE} wrong keys in a minute from this address",
                limit=MOST_A_MINUTE,
                retry_after_s=max(1, math.ceil(began_at + _WINDOW_S - now)),
                hint="a right key is served at once",
            )


def _network(address: str) -> str:
    """What one sender has at its disposal: an IPv4 address, or the half of IPv6 addresses that a network gives out."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004 - the protocol's own name
        return address
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
