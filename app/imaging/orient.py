"""Upright exactly once: the EXIF orientation applied to pixels that still lie as the file stores them."""

from PIL import Image

from app.domain import Size

_STEPS: dict[int, tuple[Image.Transpose, str]] = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT, "mirrored"),
    3: (Image.Transpose.ROTATE_180, "rotated 180 degrees"),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, "flipped"),
    5: (Image.Transpose.TRANSPOSE, "rotated 90 degrees and mirrored"),
    6: (Image.Transpose.ROTATE_270, "rotated 90 degrees"),
    7: (Image.Transpose.TRANSVERSE, "rotated 270 degrees and mirrored"),
    8: (Image.Transpose.ROTATE_90, "rotated 270 degrees"),
}


UPRIGHT = 1
_TRANSPOSING = frozenset({5, 6, 7, 8})


def in_file_axes(size: Size, orientation: int) -> Size:
    """An upright size as a file of that orientation has it, and the other way round."""
    return size.transposed if orientation in _TRANSPOSING else size


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as a person sees it. `orientation` is the EXIF value, 1 to 8; degrees are clockwise."""
    step = _STEPS.get(orientation)
    return image.transpose(step[0]) if step else image


def describe_orientation(orientation: int) -> str:
    """What `turn_upright` did, for the report: `rotated 90 degrees (EXIF orientation 6)`. Not for orientation 1."""
    return f"{_STEPS[orientation][1]} (EXIF orientation {orientation})"
