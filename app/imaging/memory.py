"""How much memory the pixels of a file will take, by its codec, before any is taken. Arithmetic only."""

from math import ceil

from app.domain import Size
from app.imaging.formats import AVIF, HEIF, JPEG, JPEG2000, PDF, WEBP, Format
from app.imaging.plan import ImagePlan
from app.imaging.probe import ImageFacts

DRAFT_MARGIN = 1.5
"""A JPEG is decoded at an eighth, a quarter or half only where this many times the target remains: below 1.2 the OCR
error of text rises by a quarter (measured, `docs/imaging.md`)."""

_CODEC_BYTES: dict[Format, int] = {HEIF: 7, AVIF: 9, WEBP: 15, JPEG2000: 18}
"""At the peak, for each pixel; measured, as all figures here, in `docs/imaging.md`."""

_MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_PLAIN_BYTES = 4
_CONVERTED_BYTES = 4
_ALPHA_BYTES = 5
_COEFFICIENT_BYTES = 3
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_DIRECT_MODES = frozenset({"L", "RGB", "RGBA", "CMYK"})
_PDF_BYTES, _PAGE_BYTES = 64_000_000, 8
_DRAFT_SCALES = (8, 4, 2)


def decode_bytes(facts: ImageFacts, plan: ImagePlan) -> int:
    """The most that decoding and resizing that file will take, in bytes. The prepared picture is not counted."""
    if facts.format == PDF:
        return _PDF_BYTES + _PAGE_BYTES * plan.target.pixels
    pixels = facts.stored.pixels
    codec = _CODEC_BYTES.get(facts.format) or _MODE_BYTES.get(facts.mode, _PLAIN_BYTES)
    if facts.mode in _ALPHA_MODES:
        codec += _ALPHA_BYTES
    elif facts.mode not in _DIRECT_MODES:
        codec += _CONVERTED_BYTES
    if facts.format != JPEG:
        return codec * pixels
    coefficients = 0 if facts.one_scan else _COEFFICIENT_BYTES * pixels
    return codec * pixels // draft_scale(facts, plan) ** 2 + coefficients


def draft_scale(facts: ImageFacts, plan: ImagePlan) -> int:
    """By how much a JPEG's sides are divided while it is decoded: 1, 2, 4 or 8. A part is cut out of the whole."""
    if plan.box is not None:
        return 1
    width_px, height_px = draft_box(facts, plan.target)
    room = min(facts.stored.width_px // width_px, facts.stored.height_px // height_px)
    return next((scale for scale in _DRAFT_SCALES if scale <= room), 1)


def draft_box(facts: ImageFacts, target: Size) -> Size:
    """The least size, in the file's own axes, that a JPEG may be decoded at for that upright target."""
    return Size(*(ceil(side * DRAFT_MARGIN) for side in facts.in_file_axes(target)))
