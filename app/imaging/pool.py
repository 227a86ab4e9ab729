"""Pictures in, prepared pictures out, without a pixel being touched in this process.

Reads headers and lets pass what needs no pixel work in threads; gives the rest to worker processes, as many at a time
as there are workers, and answers for what becomes of them.
"""

import logging
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Literal, TypeAlias, TypeVar, get_args

import anyio
from anyio import to_thread

from app.admission import Admission
from app.domain import Page
from app.errors import ErrorCode, ImageError
from app.imaging.admission import busy, place
from app.imaging.forkserver import Ending, ForkServer, ForkServerError, Worker, WorkerGoneError, WorkerLiesError
from app.imaging.formats import PDF
from app.imaging.jobs import Job, JobLimits, Measure, Measured, Outcome, Refused, Render, Rendered
from app.imaging.limits import SourceLimits
from app.imaging.memory import PDF_BYTES, decode_bytes, needed_bytes
from app.imaging.plan import ImagePlan
from app.imaging.prepared import PreparedImage, keep
from app.imaging.probe import ImageFacts, probe

Loss: TypeAlias = Literal["deadline", "shortage", "crash", "cancelled"]
"""Why a worker was lost: the job took too long, the machine was short, the codec crashed, nobody waited any more."""

LOSSES: tuple[Loss, ...] = get_args(Loss)

_Found = TypeVar("_Found")

_JOBS_A_WORKER = 200
"""After so many a worker is replaced, so that what codecs leak does not add up."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What the pool may take of the machine: `max_decode_bytes` for one picture, `budget_bytes` for all at a time."""

    workers: int
    budget_bytes: int
    max_decode_bytes: int = 536_870_912
    max_address_space_bytes: int = 2_147_483_648
    queue_timeout_s: float = 10.0
    job: JobLimits = field(default_factory=JobLimits)


class ImagePool:
    """Probes and prepares pictures.

    `losses` counts the workers that did not end by their own will; `admission` tells who is at work and who waits;
    `pixels_in_flight` are those of the pictures that are being made or wait for it, as received.
    """

    def __init__(self, limits: PoolLimits, source_limits: SourceLimits, waited: Callable[[float], None]) -> None:
        """No process is started before `open_pool` does. `waited` is told how many seconds each job waited."""
        self.losses: Counter[Loss] = Counter()
        self.pixels_in_flight = 0
        self._limits = limits
        self._waited = waited
        self._source_limits = source_limits
        self._fork_server = ForkServer(limits.max_address_space_bytes)
        self.admission = Admission(limits.budget_bytes, limits.queue_timeout_s, limits.workers)
        self._threads = anyio.CapacityLimiter(limits.workers)
        self._idle: list[Worker] = []

    async def probe(self, pictures: Sequence[bytes]) -> list[ImageFacts | ImageError]:
        """What each file is, or why it is refused, in the same order. The same object is looked at once."""
        return await to_thread.run_sync(_each_once, self._probe_one, pictures) if pictures else []

    async def prepare(self, data: bytes, facts: ImageFacts, plan: ImagePlan) -> PreparedImage:
        """The picture as the plan wants it.

        Raises:
            ImageError: as `app.imaging.render.prepare`; where it would take too much memory or time; `busy`.
        """
        if plan.keep_bytes:
            kept = await self._kept(data, facts)
            if kept is not None:
                return kept
        if not facts.sha256:
            facts = replace(facts, sha256=await to_thread.run_sync(_digest, data, limiter=self._threads))
        memory_bytes = self._memory_for(facts, plan)
        with self._in_flight(plan.target.pixels if facts.format == PDF else facts.size.pixels):
            outcome, made = await self._run(Render(facts, plan), data, memory_bytes)
        if not isinstance(outcome, Rendered):
            raise TypeError(outcome)
        return PreparedImage(
            made, outcome.media_type, outcome.size, outcome.operations, outcome.notices, outcome.sha256
        )

    async def digests(self, pictures: Sequence[bytes]) -> list[str]:
        """The SHA-256 of each file, in the same order. The same object is looked at once."""
        return await to_thread.run_sync(_each_once, _digest, pictures) if pictures else []

    async def measure_pages(self, data: bytes) -> list[Page]:
        """Every page of a PDF.

        Raises:
            ImageError: `image_undecodable`, `image_too_many_pixels` where it has too many pages, `busy`.
        """
        outcome, _ = await self._run(Measure(self._source_limits.max_frames), data, PDF_BYTES)
        if not isinstance(outcome, Measured):
            raise TypeError(outcome)
        digest = await to_thread.run_sync(_digest, data, limiter=self._threads)
        count = len(outcome.pages)
        return [Page(number, count, *size, digest) for number, size in enumerate(outcome.pages, 1)]

    @property
    def workers(self) -> int:
        """How many workers there are, at work or idle."""
        return self.admission.taken + len(self._idle)

    async def ready(self) -> bool:
        """Whether there is a worker, at work or idle, or can be one. Waits for none."""
        gone = [worker for worker in self._idle if worker.gone]
        self._idle = [worker for worker in self._idle if worker not in gone]
        for worker in gone:
            with suppress(ForkServerError):
                self._count("shortage", await self._fork_server.end(worker))
        if self._idle or self.admission.taken:
            return True
        try:
            self._idle.append(await self._fork_server.fork())
        except ForkServerError:
            return False
        return True

    async def start(self) -> None:
        """Fork every worker."""
        self._fork_server.start()
        self._idle = [await self._fork_server.fork() for _ in range(self._limits.workers)]

    def close(self) -> None:
        """Hang up on everybody."""
        while self._idle:
            self._idle.pop().close()
        self._fork_server.close()

    async def _kept(self, data: bytes, facts: ImageFacts) -> PreparedImage | None:
        if facts.bare:
            return keep(data, facts)  # a few facts put together: no work for a thread
        return await to_thread.run_sync(keep, data, facts, limiter=self._threads)

    def _probe_one(self, data: bytes) -> ImageFacts | ImageError:
        try:
            return probe(data, self._source_limits)
        except ImageError as error:
            return error

    def _memory_for(self, facts: ImageFacts, plan: ImagePlan) -> int:
        """What making the picture will take.

        Raises:
            ImageError: `image_too_many_pixels` where that is more than one picture may.
        """
        needed = decode_bytes(facts, plan)
        if needed > self._limits.max_decode_bytes:
            raise ImageError(
                ErrorCode.IMAGE_TOO_MANY_PIXELS,
                f"{facts.size} px of {facts.format.media_type} take {needed / 1e6:.0f} MB to decode; "
                f"the limit is {self._limits.max_decode_bytes / 1e6:.0f} MB",
                actual=needed,
                limit=self._limits.max_decode_bytes,
                hint="scale the picture down before sending it"
                + (", or send it as JPEG" if plan.box is None else ", or send it without tiles"),
            )
        return needed_bytes(facts, plan)

    @contextmanager
    def _in_flight(self, pixels: int) -> Generator[None]:
        self.pixels_in_flight += pixels
        try:
            yield
        finally:
            self.pixels_in_flight -= pixels

    async def _run(self, job: Job, data: bytes, memory_bytes: int) -> tuple[Outcome, bytes]:
        """What a worker makes of the job.

        Raises:
            ImageError: what it refused, what it died of, or `busy`.
        """
        began_s = time.monotonic()
        async with place(self.admission, memory_bytes + len(data)):
            self._waited(time.monotonic() - began_s)
            try:
                worker = await self._take()
            except ForkServerError as error:
                _log.warning("no image worker can be had: %r", error.__cause__)
                raise busy("no image worker could be started") from error
            outcome, made = await self._survived(worker, job, data, memory_bytes)
        if isinstance(outcome, Refused):
            raise ImageError(outcome.code, outcome.message, **outcome.details)
        return outcome, made

    async def _take(self) -> Worker:
        """A living worker, out of the idle ones."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.gone:
                return worker
            self._count("shortage", await self._fork_server.end(worker))
        return await self._fork_server.fork()

    async def _survived(self, worker: Worker, job: Job, data: bytes, memory_bytes: int) -> tuple[Outcome, bytes]:
        """What the worker makes of the job; the worker goes back to the idle ones, or is replaced.

        Raises:
            ImageError: it did not survive.
        """
        before_s, limits = worker.cpu_s, self._limits.job
        try:
            with anyio.fail_after(limits.wall_s):
                result = await worker.run(job, data, limits.cpu_s, memory_bytes)
        except (WorkerGoneError, WorkerLiesError, TimeoutError) as error:
            ending = await self._replace(worker)
            loss, refusal = _diagnose(error, ending, before_s, limits)
            self._count(loss, ending)
            raise refusal from error
        except BaseException:  # nobody waits for it any more
            self._count("cancelled", await self._replace(worker))
            raise
        if worker.jobs >= _JOBS_A_WORKER:
            await self._replace(worker)
        else:
            self._idle.append(worker)
        return result

    async def _replace(self, worker: Worker) -> Ending | None:
        """How the worker ended, a fresh one in its place; None where nobody can say."""
        ending = None
        with anyio.CancelScope(shield=True), suppress(ForkServerError):
            ending = await self._fork_server.end(worker)
            self._idle.append(await self._fork_server.fork())
        return ending

    def _count(self, loss: Loss, ending: Ending | None) -> None:
        self.losses[loss] += 1
        if loss != "cancelled":
            _log.warning("lost an image worker: %s, exit code %s", loss, ending and ending.exit_code)


def _each_once(look: Callable[[bytes], _Found], pictures: Sequence[bytes]) -> list[_Found]:
    """What is found of each file, in order; the same object is looked at once."""
    found: dict[int, _Found] = {}
    for data in pictures:
        if id(data) not in found:
            found[id(data)] = look(data)
    return [found[id(data)] for data in pictures]


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _unheard(waited_s: float) -> None:
    del waited_s


@asynccontextmanager
async def open_pool(
    limits: PoolLimits, source_limits: SourceLimits, waited: Callable[[float], None] = _unheard
) -> AsyncGenerator[ImagePool]:
    """A pool with all its workers forked; they end on exit."""
    pool = ImagePool(limits, source_limits, waited)
    try:
        await pool.start()
        yield pool
    finally:
        pool.close()


def _diagnose(error: Exception, ending: Ending | None, before_s: float, limits: JobLimits) -> tuple[Loss, ImageError]:
    """Why the worker was lost, and what its picture's sender is told: the picture's fault, or the machine's."""
    if ending is None:
        return "shortage", busy("the image worker was lost")
    if isinstance(error, TimeoutError):
        if ending.cpu_s - before_s < limits.wall_s / 2:
            return "shortage", busy(f"the machine was too busy to prepare it within {limits.wall_s:g} s")
        return "deadline", _too_long(f"{limits.wall_s:g} s", limits.wall_s)
    if ending.exit_code == -signal.SIGXCPU:
        return "deadline", _too_long(f"{limits.cpu_s} s of processor time", limits.cpu_s)
    if ending.exit_code == -signal.SIGKILL and isinstance(error, WorkerGoneError):  # the kernel's, for want of memory
        return "shortage", busy("the machine ran out of memory")
    return "crash", ImageError(
        ErrorCode.IMAGE_UNDECODABLE,
        "the file is broken: its decoder failed",
        hint="open it in an image editor and save it again, or take the picture anew",
    )


def _too_long(limit: str, limit_s: float) -> ImageError:
    return ImageError(
        ErrorCode.IMAGE_UNDECODABLE,
        f"preparing it takes longer than {limit}, the limit",
        limit=limit_s,
        hint="scale the picture down, or save it as a plain JPEG or PNG, before sending it",
    )
