"""The vendor's rules of size: how many tokens a picture costs and how large a picture a model sees.

Arithmetic only. Source of every rule and number: https://platform.claude.com/docs/en/build-with-claude/vision-coordinates
("reference code"), seen 2026-08-22.
"""

from dataclasses import dataclass

from app.domain import Size, VisionTier

PATCH_PX = 28
"""Side of the square that costs one token."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a picture may be: padded side and tokens as the vendor counts them, and the bare side in pixels."""

    max_edge_px: int
    max_tokens: int
    max_side_px: int

    def admit(self, size: Size) -> bool:
        """Whether a picture of that size stays as it is."""
        longer = max(size)
        return (
            longer <= self.max_side_px
            and PATCH_PX * _patches(longer) <= self.max_edge_px
            and visual_tokens(size) <= self.max_tokens
        )


def visual_tokens(size: Size) -> int:
    """What a picture of that size costs, as sent: one token for each 28 px patch begun."""
    return _patches(size.width_px) * _patches(size.height_px)


def seen_size(size: Size, tier: VisionTier) -> Size:
    """The size at which a model of that tier sees a picture, before the padding that costs nothing more."""
    return shrink_to_fit(size, Bounds(tier.max_edge_px, tier.max_tokens, max_side_px=tier.max_edge_px))


def billed_tokens(size: Size, tier: VisionTier) -> int:
    """What a picture of that size costs on a model of that tier, the vendor's own scaling included."""
    return visual_tokens(seen_size(size, tier))


def shrink_to_fit(size: Size, bounds: Bounds) -> Size:
    """The largest size of the same shape within the bounds, or the size itself where it fits.

    The vendor's own search: halving over the longer side, the shorter rounded half to even (Python's `round`), the
    ratio a float. Nothing is enlarged and no side falls below 1 px.
    """
    if bounds.admit(size):
        return size
    if size.height_px > size.width_px:
        return shrink_to_fit(size.transposed, bounds).transposed
    ratio = size.width_px / size.height_px
    fits, too_long = 1, size.width_px
    while fits + 1 < too_long:
        middle = (fits + too_long) // 2
        if bounds.admit(_of_width(middle, ratio)):
            fits = middle
        else:
            too_long = middle
    return _of_width(fits, ratio)


def _of_width(width_px: int, ratio: float) -> Size:
    return Size(width_px, max(round(width_px / ratio), 1))


def _patches(side_px: int) -> int:
    return -(-side_px // PATCH_PX)
