"""Who may work now: in the order in which they came, within the places and the bytes, whatever they ask for."""

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.admission import Admission
from app.errors import ErrorCode, ImageError
from app.imaging.admission import place

PLACES, BUDGET_BYTES = 3, 100


@given(st.lists(st.integers(0, 150), max_size=12))
@settings(deadline=None)
def test_everybody_is_let_in_in_order_and_never_too_many_or_too_much(sizes: list[int]) -> None:
    admission = Admission(BUDGET_BYTES, timeout_s=30, places=PLACES)
    order: list[int] = []
    inside: dict[int, int] = {}
    crowds: list[tuple[int, int]] = []

    async def work(number: int, size: int) -> None:
        async with place(admission, size):
            order.append(number)
            inside[number] = min(size, BUDGET_BYTES)
            crowds.append((len(inside), sum(inside.values())))
            await anyio.lowlevel.checkpoint()
            del inside[number]

    async def all_at_once() -> None:
        async with anyio.create_task_group() as tasks:
            for number, size in enumerate(sizes):
                tasks.start_soon(work, number, size)

    anyio.run(all_at_once)

    assert order == list(range(len(sizes)))
    assert all(places <= PLACES and size_bytes <= BUDGET_BYTES for places, size_bytes in crowds)
    assert admission.taken == 0


@pytest.mark.anyio
async def test_nobody_overtakes_one_that_needs_much() -> None:
    admission = Admission(BUDGET_BYTES, timeout_s=30, places=PLACES)
    order: list[str] = []

    async def work(name: str, size: int) -> None:
        async with place(admission, size):
            order.append(name)

    async with anyio.create_task_group() as tasks, place(admission, 60):
        tasks.start_soon(work, "large", 90)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(work, "small", 10)
        await anyio.wait_all_tasks_blocked()
        order.append("first leaves")

    assert order == ["first leaves", "large", "small"]


@pytest.mark.anyio
async def test_who_leaves_the_queue_lets_the_next_one_in() -> None:
    admission = Admission(BUDGET_BYTES, timeout_s=30, places=PLACES)
    order: list[str] = []

    async def work(name: str, size: int) -> None:
        async with place(admission, size):
            order.append(name)

    async with place(admission, 60), anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as impatient:
            impatient.start_soon(work, "large", 90)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(work, "small", 10)
            await anyio.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()

        assert order == ["small"]


@pytest.mark.anyio
async def test_waiting_ends_by_itself_and_takes_nothing_along() -> None:
    admission = Admission(BUDGET_BYTES, timeout_s=0.01, places=1)

    async with place(admission, 1):
        with pytest.raises(ImageError) as caught:
            async with place(admission, 1):
                pass
    async with place(admission, BUDGET_BYTES):
        taken = admission.taken

        assert (caught.value.code, taken) == (ErrorCode.BUSY, 1)


@pytest.mark.anyio
async def test_those_who_grow_never_wait_for_each_other() -> None:
    admission = Admission(BUDGET_BYTES, timeout_s=30)
    done: list[int] = []

    async def work(number: int) -> None:
        share = await admission.enter(BUDGET_BYTES // 2)
        await anyio.lowlevel.checkpoint()
        await admission.grow(share, BUDGET_BYTES)
        done.append(number)
        admission.leave(share)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(work, number)

    assert sorted(done) == [0, 1, 2, 3, 4]
    assert (admission.taken, admission.in_use_bytes, admission.waiting, admission.refused) == (0, 0, 0, 0)


@pytest.mark.anyio
async def test_who_was_refused_is_counted_and_holds_nothing() -> None:
    admission = Admission(BUDGET_BYTES, timeout_s=0.01)
    share = await admission.enter(BUDGET_BYTES)

    with pytest.raises(TimeoutError):
        await admission.enter(1)
    admission.leave(share)

    assert (admission.taken, admission.in_use_bytes, admission.refused) == (0, 0, 1)
