"""Pixel work off the event loop, bounded: so many pictures at a time as there are cores."""

from collections.abc import Sequence

import anyio
from anyio import to_thread

from app.errors import ImageError
from app.imaging.limits import SourceLimits
from app.imaging.plan import ImagePlan
from app.imaging.probe import ImageFacts, probe
from app.imaging.render import PreparedImage, prepare


class ImagePool:
    """Probes and prepares pictures in threads; the codecs release the interpreter lock while they work."""

    def __init__(self, workers: int, limits: SourceLimits) -> None:
        """`workers` pictures are prepared at a time, further ones wait in order."""
        self._slots = anyio.CapacityLimiter(workers)
        self._limits = limits

    async def probe(self, pictures: Sequence[bytes]) -> list[ImageFacts | ImageError]:
        """What each file is, or why it is refused, in the same order."""
        return await to_thread.run_sync(self._probe_all, pictures) if pictures else []

    async def prepare(self, data: bytes, facts: ImageFacts, plan: ImagePlan) -> PreparedImage:
        """The picture as the plan wants it.

        Raises:
            ImageError: as `app.imaging.render.prepare`.
        """
        return await to_thread.run_sync(prepare, data, facts, plan, limiter=self._slots)

    def _probe_all(self, pictures: Sequence[bytes]) -> list[ImageFacts | ImageError]:
        return [self._probe_one(data) for data in pictures]

    def _probe_one(self, data: bytes) -> ImageFacts | ImageError:
        try:
            return probe(data, self._limits)
        except ImageError as error:
            return error
