"""What is marked in a picture: the box of everything magenta, or the middle of it where nothing is."""

from typing import NamedTuple

from PIL import Image, ImageChops

from app.domain import Size

_LEAST_OF_RED_AND_BLUE = 190
_MOST_OF_GREEN = 90
"""The sandbox's own choice: #ff00ff survives a conversion and a lossy encoder within these."""


class Mark(NamedTuple):
    """Edges in pixels of the picture as the model sees it; right and bottom are the first that are outside."""

    x1: float
    y1: float
    x2: float
    y2: float


def middle_of(seen: Size) -> Mark:
    """The middle half of a picture of that size."""
    width, height = seen
    return Mark(width // 4, height // 4, max(width * 3 // 4, 1), max(height * 3 // 4, 1))


def marked_in(upright: Image.Image, seen: Size) -> Mark:
    """The box of the magenta in a picture that is upright, as a model sees it that sees the picture at that size."""
    red, green, blue = upright.convert("RGB").split()
    strong = _where(ImageChops.darker(red, blue), [value >= _LEAST_OF_RED_AND_BLUE for value in range(256)])
    weak = _where(green, [value <= _MOST_OF_GREEN for value in range(256)])
    box = ImageChops.darker(strong, weak).getbbox()
    if box is None:
        return middle_of(seen)
    across, down = seen.width_px / upright.width, seen.height_px / upright.height
    return Mark(box[0] * across, box[1] * down, box[2] * across, box[3] * down)


def _where(channel: Image.Image, wanted: list[bool]) -> Image.Image:
    """White where the value is wanted, else black."""
    return channel.point([255 * one for one in wanted])  # pyright: ignore[reportUnknownMemberType] - as `resize`
