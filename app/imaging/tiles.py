"""How a picture too long to be seen whole is cut into parts that are. Arithmetic only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, isqrt

from app.domain import Size
from app.imaging.plan import Box
from app.imaging.tokens import PATCH_PX, Bounds

EXTREME_ASPECT = 4
"""Longer than this to the shorter side, a picture that is scaled down becomes a smear."""

_LARGEST_OVERLAP_PX = 112
_OVERLAP_SHARE = 8


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Where the parts of a picture begin; all are of one size."""

    tile: Size
    lefts_px: Sequence[int]
    tops_px: Sequence[int]

    @property
    def count(self) -> int:
        """How many parts there are."""
        return len(self.lefts_px) * len(self.tops_px)

    def boxes(self) -> Iterator[Box]:
        """The parts, row by row."""
        for top in self.tops_px:
            for left in self.lefts_px:
                yield Box(left, top, left + self.tile.width_px, top + self.tile.height_px)


def tile_grid(size: Size, bounds: Bounds) -> TileGrid:
    """How a picture of that size is cut: each part within the bounds at its own size, each overlapping the next.

    A line of text at the edge of one is whole in the next. A picture that fits is one part.
    """
    tile = _tile_size(size, bounds)
    return TileGrid(tile, _starts(size.width_px, tile.width_px), _starts(size.height_px, tile.height_px))


def _tile_size(size: Size, bounds: Bounds) -> Size:
    """As wide as the picture, or as tall, where that leaves a part that is no strip itself; else a square."""
    if bounds.admit(size):
        return size
    if size.width_px > size.height_px:
        return _tile_size(size.transposed, bounds).transposed
    edge_px = min(bounds.max_edge_px, bounds.max_side_px)
    rows = bounds.max_tokens // ceil(size.width_px / PATCH_PX)
    height_px = min(rows * PATCH_PX, edge_px, size.height_px)
    if size.width_px <= edge_px and height_px * EXTREME_ASPECT >= size.width_px:
        return Size(size.width_px, height_px)
    side_px = min(isqrt(bounds.max_tokens) * PATCH_PX, edge_px)
    return Size(min(side_px, size.width_px), min(side_px, size.height_px))


def _starts(length_px: int, tile_px: int) -> list[int]:
    """Where the parts begin along one side, spread evenly."""
    if length_px <= tile_px:
        return [0]
    overlap_px = min(tile_px // _OVERLAP_SHARE, _LARGEST_OVERLAP_PX)
    count = ceil((length_px - overlap_px) / (tile_px - overlap_px))
    return [round(index * (length_px - tile_px) / (count - 1)) for index in range(count)]
