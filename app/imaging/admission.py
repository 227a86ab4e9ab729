"""Who may work on pixels now: as many at a time as there are workers, within a budget of decoded bytes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from app.admission import Admission
from app.errors import ErrorCode, ImageError


@asynccontextmanager
async def place(admission: Admission, size_bytes: int) -> AsyncGenerator[None]:
    """A place and that many bytes, for as long as it is held.

    Raises:
        ImageError: `busy`.
    """
    try:
        share = await admission.enter(size_bytes)
    except TimeoutError as error:
        raise busy(f"every image worker was taken for {admission.timeout_s:g} s, the limit") from error
    try:
        yield
    finally:
        admission.leave(share)


def busy(reason: str) -> ImageError:
    """The refusal of work that this service cannot take on now, and may in a moment."""
    return ImageError(ErrorCode.BUSY, f"{reason}; nothing was spent, try again", retry_after_s=1)
