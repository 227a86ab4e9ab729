"""The pool on real processes: whatever becomes of a worker, the sender is told whose fault it was, and it goes on."""

import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from PIL import Image

from app.domain import Size
from app.errors import ErrorCode, ImageError
from app.imaging.admission import place
from app.imaging.jobs import JobLimits
from app.imaging.limits import SourceLimits
from app.imaging.plan import ImagePlan
from app.imaging.pool import ImagePool, PoolLimits, open_pool
from tests.bombs import scan_bomb
from tests.imaging.pictures import corners, facts_of, saved
from tests.processes import all_end, statuses

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="workers are found by /proc, which is not here"),
]

SMALL = saved(corners(), "TIFF")
ENDLESS = JobLimits(cpu_s=60, wall_s=60)


@dataclass(frozen=True, slots=True)
class Watched:
    """A pool, and the pid of its fork server."""

    pool: ImagePool
    fork_server: int

    @property
    def workers(self) -> list[int]:
        """The pids of its workers that have not ended."""
        family = [status for status in statuses() if status.session == self.fork_server and status.state != "Z"]
        return [status.pid for status in family if status.pid != self.fork_server]

    async def prepare(self, data: bytes) -> Size:
        """The size of what the pool makes of the file at a quarter of its sides."""
        facts = facts_of(data)
        target = Size(max(facts.size.width_px // 4, 1), max(facts.size.height_px // 4, 1))
        return (await self.pool.prepare(data, facts, ImagePlan(target))).size

    async def refusal(self, data: bytes) -> ImageError:
        """Why the pool did not prepare the file."""
        with pytest.raises(ImageError) as caught:
            await self.prepare(data)
        return caught.value


@pytest.fixture(scope="module")
def burning() -> bytes:
    """A picture that holds a core for seconds."""
    return scan_bomb((8000, 6000), 99)


@asynccontextmanager
async def watched(workers: int = 1, queue_timeout_s: float = 30, job: JobLimits = ENDLESS) -> AsyncGenerator[Watched]:
    before = leaders()
    limits = PoolLimits(workers, 1_000_000_000, queue_timeout_s=queue_timeout_s, job=job)
    async with open_pool(limits, SourceLimits()) as pool:
        [fork_server] = leaders() - before
        yield Watched(pool, fork_server)


def leaders() -> set[int]:
    """This process's children that lead a session of their own, as fork servers do."""
    return {status.pid for status in statuses() if status.parent == os.getpid() and status.session == status.pid}


def said_of(pid: int, name: str) -> str:
    """What that file of /proc says of a process."""
    return Path(f"/proc/{pid}/{name}").read_text("utf-8")


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def killed(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Kill it, and wait for its end."""
    os.kill(pid, number)
    assert all_end([pid])


async def killed_at_work(pool: Watched, data: bytes, number: signal.Signals) -> ImageError:
    """What the sender of a file is told whose worker gets that signal."""
    told: list[ImageError] = []

    async def send() -> None:
        told.append(await pool.refusal(data))

    [worker] = pool.workers
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()  # the worker has it
        killed(worker, number)
    return told[0]


async def test_a_worker_that_died_idle_is_replaced_before_anyone_notices() -> None:
    async with watched() as pool:
        killed(pool.workers[0])

        assert await pool.prepare(SMALL) == (16, 8)
        assert pool.pool.losses == Counter(shortage=1)


async def test_a_worker_that_the_kernel_killed_at_work_is_no_fault_of_the_picture(burning: bytes) -> None:
    async with watched() as pool:
        told = await killed_at_work(pool, burning, signal.SIGKILL)

        assert (told.code, told.message) == (
            ErrorCode.BUSY,
            "the machine ran out of memory; nothing was spent, try again",
        )
        assert await pool.prepare(SMALL) == (16, 8)


async def test_a_codec_that_crashes_is_the_fault_of_the_picture(burning: bytes) -> None:
    async with watched() as pool:
        told = await killed_at_work(pool, burning, signal.SIGSEGV)

        assert (told.code, told.message) == (
            ErrorCode.IMAGE_UNDECODABLE,
            "the file is broken: its decoder failed",
        )
        assert pool.pool.losses == Counter(crash=1)
        assert await pool.prepare(SMALL) == (16, 8)


async def test_pictures_are_prepared_after_the_fork_server_was_killed() -> None:
    async with watched(workers=2) as pool:
        workers = pool.workers
        killed(pool.fork_server)

        assert all_end(workers)
        assert [await pool.prepare(SMALL) for _ in range(3)] == [(16, 8)] * 3


async def test_a_picture_at_work_when_the_fork_server_is_killed_is_to_be_sent_again(burning: bytes) -> None:
    async with watched() as pool:
        told: list[ImageError] = []

        async def send() -> None:
            told.append(await pool.refusal(burning))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            killed(pool.fork_server)

        assert told[0].code is ErrorCode.BUSY
        assert await pool.prepare(SMALL) == (16, 8)


async def test_too_much_processor_time_is_the_fault_of_the_picture(burning: bytes) -> None:
    async with watched(job=JobLimits(cpu_s=1, wall_s=60)) as pool:
        told = await pool.refusal(burning)

        assert (told.code, told.message, told.details["limit"]) == (
            ErrorCode.IMAGE_UNDECODABLE,
            "preparing it takes longer than 1 s of processor time, the limit",
            1,
        )
        assert pool.pool.losses == Counter(deadline=1)
        assert await pool.prepare(SMALL) == (16, 8)


async def test_a_deadline_is_the_fault_of_the_picture_that_took_the_processor(burning: bytes) -> None:
    async with watched(job=JobLimits(cpu_s=60, wall_s=1.5)) as pool:
        told = await pool.refusal(burning)
        for _ in range(20):  # on a machine busy with other things it says that first
            if told.code is ErrorCode.BUSY:
                told = await pool.refusal(burning)

        assert (told.code, told.message, told.details["limit"]) == (
            ErrorCode.IMAGE_UNDECODABLE,
            "preparing it takes longer than 1.5 s, the limit",
            1.5,
        )


async def test_a_deadline_is_no_fault_of_a_picture_that_got_no_processor(burning: bytes) -> None:
    async with watched(job=JobLimits(cpu_s=60, wall_s=0.3)) as pool:
        os.kill(pool.workers[0], signal.SIGSTOP)
        told = await pool.refusal(burning)

        assert (told.code, told.message) == (
            ErrorCode.BUSY,
            "the machine was too busy to prepare it within 0.3 s; nothing was spent, try again",
        )
        assert pool.pool.losses == Counter(shortage=1)


async def test_a_worker_for_whom_nobody_waits_any_more_is_replaced(burning: bytes) -> None:
    async with watched() as pool:
        [worker] = pool.workers
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.prepare, burning)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

        assert all_end([worker])
        assert pool.pool.losses == Counter(cancelled=1)
        assert len(pool.workers) == 1
        assert await pool.prepare(SMALL) == (16, 8)


async def test_who_waits_too_long_for_a_worker_is_to_come_again(burning: bytes) -> None:
    async with watched(queue_timeout_s=0.2) as pool, anyio.create_task_group() as tasks:
        tasks.start_soon(pool.prepare, burning)
        await anyio.wait_all_tasks_blocked()
        told = await pool.refusal(SMALL)
        tasks.cancel_scope.cancel()

        assert (told.code, told.details["retry_after_s"]) == (ErrorCode.BUSY, 1)
        assert told.message == "every image worker was taken for 0.2 s, the limit; nothing was spent, try again"


async def test_the_pool_is_ready_as_long_as_it_can_have_a_worker() -> None:
    async with watched() as pool:
        killed(pool.workers[0])

        assert await pool.pool.ready()
        assert len(pool.workers) == 1


async def test_a_closed_pool_ends_even_a_worker_at_work(burning: bytes) -> None:
    async with watched() as pool, anyio.create_task_group() as tasks:
        [worker] = pool.workers
        tasks.start_soon(pool.prepare, burning)
        await anyio.wait_all_tasks_blocked()
        pool.pool.close()
        tasks.cancel_scope.cancel()

        assert all_end([worker])


async def test_workers_know_no_secret_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-operator")
    monkeypatch.setenv("VISION_PROXY_ADMIN_KEY", "a-key-of-sixteen-characters")
    async with watched() as pool:
        processes = [pool.fork_server, *pool.workers]

        assert len(processes) == 2
        assert not any("KEY" in said_of(process, "environ") for process in processes)


async def test_workers_hold_no_file_of_the_service_open() -> None:
    async with watched(workers=2) as pool:
        async with anyio.create_task_group() as tasks:  # each has one, and is past its first steps then
            tasks.start_soon(pool.prepare, SMALL)
            tasks.start_soon(pool.prepare, SMALL)

        assert max(map(descriptors, pool.workers)) <= 4  # the three standard ones and its own socket


async def test_workers_do_not_hold_the_socket_of_the_fork_server() -> None:
    async with watched(workers=2) as pool:
        assert set(map(standard_input, pool.workers)) == {Path(os.devnull)}


def standard_input(process: int) -> Path:
    return Path(f"/proc/{process}/fd/0").readlink()


async def test_a_worker_cannot_take_much_more_than_was_admitted() -> None:
    picture = saved(Image.new("RGB", (64, 64)), "TIFF")
    async with watched() as pool:
        await pool.prepare(picture)
        limits = said_of(pool.workers[0], "limits").splitlines()

        [soft, hard] = next(line.split()[3:5] for line in limits if line.startswith("Max address space"))
        assert int(soft) < 400_000_000 < int(hard)


@pytest.mark.anyio
async def test_pixels_in_flight_are_those_of_pictures_that_wait_too_and_none_once_they_are_made() -> None:
    data = saved(corners(640, 480), "TIFF")
    async with watched() as watching:
        pool = watching.pool
        async with anyio.create_task_group() as tasks, place(pool.admission, 1):
            for _ in range(3):
                tasks.start_soon(watching.prepare, data)
            await anyio.wait_all_tasks_blocked()
            assert pool.pixels_in_flight == 3 * 640 * 480
        assert pool.pixels_in_flight == 0
