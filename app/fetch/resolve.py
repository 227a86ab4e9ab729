"""Host names to addresses, in threads of its own: a slow name server holds up no other look-up of the process."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

_THREADS = 8


class Resolver(Protocol):
    """Knows the addresses of a host."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses, best first, as text.

        Raises:
            OSError: there are none.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class SystemResolver:
    """The machine's resolver.

    `getaddrinfo` cannot be interrupted, so a look-up that was given up keeps its thread until the system gives up too.
    """

    def __init__(self) -> None:
        """No thread is started before the first look-up."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch-resolve")

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses in the order of RFC 6724.

        Raises:
            OSError: there are none.
        """
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """Let go of the threads; look-ups that have not begun are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
