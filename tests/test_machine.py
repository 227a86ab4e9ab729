"""What the machine has, as a container limits it."""

import os
from pathlib import Path

import pytest

from app.machine import cores, memory_bytes

ALL_CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("memory.max", "536870912\n", 536_870_912),
        ("memory/memory.limit_in_bytes", "536870912\n", 536_870_912),
        ("memory.max", "max\n", None),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", None),
    ],
)
def test_the_memory_is_that_of_the_container(tmp_path: Path, file: str, text: str, expected: int | None) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)

    assert memory_bytes(tmp_path) == (expected or memory_bytes(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, ALL_CORES),
        ({"cpu.max": "1000000000 100000\n"}, ALL_CORES),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, ALL_CORES),
        ({}, ALL_CORES),
    ],
)
def test_the_cores_are_those_of_the_container(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert cores(tmp_path) == expected
