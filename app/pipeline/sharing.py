"""A byte budget shared out among files that together exceed it."""

from collections.abc import Sequence


def fair_shares(sizes: Sequence[int], budget: int) -> list[int]:
    """The most that each file may keep so that all fit: what it has if that is little, else an equal share.

    Small files give what they do not need to the large ones. The shares add up to the budget at most.
    """
    shares = list(sizes)
    left = budget
    by_size = sorted(range(len(sizes)), key=lambda index: sizes[index])
    for position, index in enumerate(by_size):
        shares[index] = min(sizes[index], left // (len(sizes) - position))
        left -= shares[index]
    return shares
