"""The memory that one request's bytes take: asked for before they are read, given back when they are gone."""

from collections.abc import Generator
from contextlib import contextmanager

from app.admission import Admission, Share
from app.errors import AppError, ErrorCode
from app.observe import Observer

FREE_BYTES = 65_536
"""A body up to this size asks nobody: the server has read as much of a connection before anybody can ask."""

_COPIES = 2
"""What a body takes while it is read, parsed and prepared, in times of its size (measured, `docs/operations.md`)."""

_STEP_BYTES = 2_097_152


class Room:
    """One request's share of two budgets: while its body is read and prepared, then while it is sent.

    A request that has to wait for an answer of the vendor's, which can take minutes, so keeps nobody from preparing.
    """

    __slots__ = ("_held", "_observer", "_receiving", "_sending")

    def __init__(self, receiving: Admission, sending: Admission, observer: Observer) -> None:
        """Nothing is held yet; the observer is told of each wait."""
        self._receiving = receiving
        self._sending = sending
        self._observer = observer
        self._held: tuple[Admission, Share] | None = None

    async def receive(self, size_bytes: int) -> None:
        """Make room for a body of that size before it is read; where its length is not known, for what has come.

        May be called again as it grows: by being decompressed, or by coming in without a length.

        Raises:
            AppError: `busy`.
        """
        if size_bytes <= FREE_BYTES:
            return
        needed = _COPIES * size_bytes
        if self._held is None:
            with self._asking(self._receiving):
                self._held = self._receiving, await self._receiving.enter(needed)
        elif needed > self._held[1].size_bytes:
            with self._asking(self._receiving):
                await self._receiving.grow(self._held[1], max(needed, 2 * self._held[1].size_bytes, _STEP_BYTES))

    async def send(self, size_bytes: int) -> None:
        """Trade what is held for the room of what is to be sent.

        Raises:
            AppError: `busy`.
        """
        if size_bytes <= FREE_BYTES:
            self.leave()
            return
        with self._asking(self._sending):
            share = await self._sending.enter(size_bytes)
        self.leave()
        self._held = self._sending, share

    def leave(self) -> None:
        """Give back what is held, if anything."""
        if self._held is not None:
            admission, share = self._held
            self._held = None
            admission.leave(share)

    @contextmanager
    def _asking(self, admission: Admission) -> Generator[None]:
        with self._observer.step("admit"):
            try:
                yield
            except TimeoutError as error:
                raise _busy(admission) from error


def _busy(admission: Admission) -> AppError:
    waited = f"too much is being worked on: no room for this request within {admission.timeout_s:g} s"
    return AppError(ErrorCode.BUSY, f"{waited}; nothing was spent, try again", retry_after_s=1)
