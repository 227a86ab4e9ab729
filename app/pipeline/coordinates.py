"""A box that Claude gives, in the picture as it sees it, into a box of the file that was uploaded."""

from collections.abc import Sequence
from typing import NamedTuple

from app.domain import Page, Tile
from app.pipeline.reports import ImageReport

_CORNERS = 4
_POINT_DIGITS = 2
_FAR = 1e9
"""Farther away nothing is meant; an integer of JSON may be larger than any float."""


class Box(NamedTuple):
    """Edges from the top left corner; right and bottom are the first that are outside.

    Of a picture in whole upright pixels, of the page of a PDF in points with two decimals.
    """

    x1: float
    y1: float
    x2: float
    y2: float


def original_box(sent_box: Sequence[float], report: ImageReport) -> Box | None:
    """The box in the uploaded file, ordered and clamped to the picture; None where nothing of it is in the picture.

    A side of the picture that was sent is stretched onto the side of the original, or of the part that was cut out of
    it: what the model sees is one resize away from the upright original, whatever else was done to the file.
    Source: https://platform.claude.com/docs/en/build-with-claude/vision-coordinates, seen 2026-08-22.
    """
    if len(sent_box) != _CORNERS or not all(-_FAR <= edge <= _FAR for edge in sent_box):
        return None
    across = _span(sent_box[0], sent_box[2], report.seen.width_px)
    down = _span(sent_box[1], sent_box[3], report.seen.height_px)
    if across is None or down is None:
        return None
    left, top = (report.part.left_px, report.part.top_px) if isinstance(report.part, Tile) else (0, 0)
    x1, x2 = (left + x * report.scale_x for x in across)
    y1, y2 = (top + y * report.scale_y for y in down)
    if isinstance(report.part, Page):
        return Box(*(round(edge, _POINT_DIGITS) for edge in (x1, y1, x2, y2)))
    columns, rows = _pixels(x1, x2), _pixels(y1, y2)
    return Box(columns[0], rows[0], columns[1], rows[1])


def _span(one: float, other: float, length_px: int) -> tuple[float, float] | None:
    """The two edges in order, within the picture; None where there is nothing between them."""
    first, last = (min(max(edge, 0), length_px) for edge in sorted((one, other)))
    return (first, last) if first < last else None


def _pixels(first: float, last: float) -> tuple[int, int]:
    """The nearest whole pixels, at least one of them: of a span within one pixel, that pixel."""
    begin, end = round(first), round(last)
    return (begin, end) if begin < end else (int(first), int(first) + 1)
