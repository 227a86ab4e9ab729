"""The search for the best rung whose file fits, in few encodes. What a rung is made of is the caller's business."""

from collections.abc import Callable, Sequence
from typing import TypeVar

R = TypeVar("R")
T = TypeVar("T")


def best_that_fits(
    rungs: Sequence[R], make: Callable[[R], T], size_bytes: Callable[[T], int], max_bytes: int
) -> tuple[T | None, int]:
    """What the best fitting rung makes, None where none fits, and the size in bytes of the lowest rung that did not.

    `rungs` are best first, each smaller than the one before it. Halving asks for three of seven.
    """
    fitting: T | None = None
    lowest_bytes = 0
    best, worst = 0, len(rungs) - 1
    while best <= worst:
        middle = (best + worst) // 2
        made = make(rungs[middle])
        if size_bytes(made) <= max_bytes:
            fitting, worst = made, middle - 1
        else:
            lowest_bytes, best = size_bytes(made), middle + 1
    return fitting, lowest_bytes
