"""Two thousand broken copies of real files through the front door: refused or served, and nothing is left behind.

Of what passes untouched the pixels are the vendor's to judge: some broken files of the right size are among them.
Seeded, so that a file that does harm can be made again: its name is in the message.
"""

from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from random import Random

import pytest

from tests.golden import fault_of, is_untouched
from tests.processes import Running, running_service

CHUNKS, FILES_A_CHUNK = 16, 125
LARGEST_BYTES = 300_000
GROWTH_BYTES = 100_000_000
"""Of the service and its workers over a chunk; the caches of prepared pictures are switched off."""


@pytest.fixture(scope="module")
def battered() -> Generator[Running]:
    with running_service(image_workers=2, image_timeout_s=60, image_queue_timeout_s=60, image_cache_bytes=0) as service:
        service.client.get("/readyz").raise_for_status()
        yield service


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_broken_file_is_refused_or_served_and_harms_nothing(battered: Running, corpus: Path, chunk: int) -> None:
    before = (battered.workers, battered.descriptors)
    resident_bytes = battered.resident_bytes
    faults: list[tuple[str, str]] = []
    for name, data in mutations(corpus, chunk):
        answer = battered.client.post("/v1/normalize", files={"image": ("broken", data)})
        fault = fault_of(answer)
        if fault and not is_untouched(answer):
            faults.append((name, fault))

    assert faults == []
    assert len(battered.workers) == len(before[0])
    assert came_back_to(battered, before[1])
    assert battered.resident_bytes < resident_bytes + GROWTH_BYTES
    assert battered.client.get("/readyz").status_code == 200


def came_back_to(service: Running, descriptors: int) -> bool:
    """Whether no more is open than before; asked a hundred times at most, for some things are open for a moment."""
    return any(
        service.descriptors <= descriptors for _ in range(100) if service.client.get("/livez").status_code == 200
    )


def mutations(corpus: Path, chunk: int) -> Iterator[tuple[str, bytes]]:
    """Broken copies, each with a name that says of what, how and by which seed."""
    sources = small_files(corpus)
    for seed in range(chunk * FILES_A_CHUNK, (chunk + 1) * FILES_A_CHUNK):
        chance = Random(seed)  # noqa: S311 - no secret
        path, mutate = chance.choice(sources), chance.choice((flipped, cut, torn, beheaded, repeated))
        yield f"{path.name}, {mutate.__name__}, seed {seed}", mutate(path.read_bytes(), chance, sources)


@cache
def small_files(corpus: Path) -> tuple[Path, ...]:
    """The pictures of the corpus that are soon decoded."""
    return tuple(
        path
        for path in sorted(corpus.glob("*/*"))
        if 0 < path.stat().st_size < LARGEST_BYTES and path.suffix not in {".txt", ""}
    )


def flipped(data: bytes, chance: Random, _sources: tuple[Path, ...]) -> bytes:
    """Up to sixteen bits turned over, half of them in the first kilobyte, where headers are."""
    broken = bytearray(data)
    for _ in range(chance.randint(1, 16)):
        at = chance.randrange(min(len(data), chance.choice((1024, len(data)))))
        broken[at] ^= 1 << chance.randrange(8)
    return bytes(broken)


def cut(data: bytes, chance: Random, _sources: tuple[Path, ...]) -> bytes:
    """The file up to somewhere."""
    return data[: chance.randrange(1, len(data) + 1)]


def torn(data: bytes, chance: Random, _sources: tuple[Path, ...]) -> bytes:
    """The file without a stretch of its middle."""
    first, last = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + data[last:] or b"\0"


def beheaded(data: bytes, chance: Random, sources: tuple[Path, ...]) -> bytes:
    """The file behind the first bytes of another one."""
    size = chance.randrange(4, 256)
    return chance.choice(sources).read_bytes()[:size] + data[size:]


def repeated(data: bytes, chance: Random, _sources: tuple[Path, ...]) -> bytes:
    """The file with a stretch of it standing there up to a hundred times."""
    first = chance.randrange(len(data))
    last = min(first + chance.randrange(1, 1024), len(data))
    return data[:last] + data[first:last] * chance.randint(1, 99) + data[last:]
