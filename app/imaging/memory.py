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
"""At the peak, for each pixel; as all figures here measured, and held by `tests/imaging/test_memory.py`."""

_MODE_BYTES = {
    "1": 2,
    "L": 1,
    "P": 5,
    "RGB": 4,
    "CMYK": 4,
    "RGBA": 9,
    "I": 13,
    "F": 13,
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), 10),
    **dict.fromkeys(("LA", "La", "PA", "RGBa"), 13),
}
_OTHER_MODE_BYTES = 8
_CONVERTED_BYTES = 4
"""On top of the codec's own, and for each pixel again, as what follows."""

_ALPHA_BYTES = 5
_KEYED_BYTES = 9
"""A picture with a transparent key colour becomes one with alpha, the first still standing there."""

_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_DIRECT_MODES = frozenset({"L", "RGB", "RGBA", "CMYK"})
PDF_BYTES = 192_000_000
"""Nobody can say what a page will take; measured documents stay below this, and no worker goes far above."""

_SENT_BYTES, _ANY_BYTES = 26, 8_000_000
_DRAFT_SCALES = (8, 4, 2)


def needed_bytes(facts: ImageFacts, plan: ImagePlan) -> int:
    """The most that making the picture will take, in bytes, its encoding included; neither file is counted."""
    return decode_bytes(facts, plan) + _SENT_BYTES * plan.target.pixels + _ANY_BYTES


def decode_bytes(facts: ImageFacts, plan: ImagePlan) -> int:
    """The most that decoding and resizing that file will take, in bytes. The prepared picture is not counted."""
    if facts.format == PDF:
        return PDF_BYTES
    pixels = facts.stored.pixels
    drafted = pixels // draft_scale(facts, plan) ** 2 if facts.format == JPEG else pixels
    return _bytes_a_pixel(facts) * drafted + facts.coefficient_bytes


def _bytes_a_pixel(facts: ImageFacts) -> int:
    keyed = _KEYED_BYTES if facts.keyed else 0
    codec = _CODEC_BYTES.get(facts.format)
    if codec is None:
        return _MODE_BYTES.get(facts.mode, _OTHER_MODE_BYTES) + keyed
    if facts.mode in _ALPHA_MODES:
        return codec + _ALPHA_BYTES
    return codec if facts.mode in _DIRECT_MODES else codec + _CONVERTED_BYTES


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
