"""The byte ladder: the best rung that fits, in at most six encodes with those of the first attempt."""

import pytest

from app.imaging.encode import ladder
from app.imaging.ladder import best_that_fits

FIRST_ATTEMPTS = {True: 2, False: 1}
"""Encodes before the ladder: PNG and WebP of a text, one JPEG of a photograph."""


@pytest.mark.parametrize("count", range(12))
def test_the_best_rung_that_fits_is_found_wherever_it_is(count: int) -> None:
    rungs = [100 - rung for rung in range(count)]

    found = [best_that_fits(rungs, int, int, limit)[0] for limit in rungs]

    assert found == rungs


@pytest.mark.parametrize("rungs", [[], [9], [9, 8], [9, 8, 7, 6, 5]])
def test_where_none_fits_the_size_of_the_lowest_is_told(rungs: list[int]) -> None:
    assert best_that_fits(rungs, int, int, 4) == (None, rungs[-1] if rungs else 0)


@pytest.mark.parametrize("synthetic", [True, False], ids=["text", "photograph"])
def test_no_picture_takes_more_than_six_encodes(synthetic: bool) -> None:
    lossless = [rung for rung in ladder(synthetic=synthetic) if rung.lossless]
    lossy = list(range(len(ladder(synthetic=synthetic)) - len(lossless), 0, -1))

    searches = [asked_for(lossy, limit) for limit in range(len(lossy) + 1)]

    assert FIRST_ATTEMPTS[synthetic] + len(lossless) + max(map(len, searches)) <= 6


def asked_for(sizes: list[int], limit: int) -> list[int]:
    """The rungs that the search had made."""
    made: list[int] = []

    def make(size: int) -> int:
        made.append(size)
        return size

    best_that_fits(sizes, make, int, limit)
    return made
