"""Facts and limits in, `ImagePlan` out: what a picture should become. Arithmetic only; nothing here reads a pixel."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from app.domain import HIGH_TIER, STANDARD_TIER, DetailLevel, Model, Page, Part, Size, Tile
from app.imaging.probe import ImageFacts
from app.imaging.tokens import Bounds, shrink_to_fit

MAX_SIDE_PX = 8000
"""No side may be longer. Source: https://platform.claude.com/docs/en/build-with-claude/vision, seen 2026-08-22."""

MANY_IMAGES = 20
"""With more images than this in one request a stricter side limit holds. Source: as above."""

MANY_IMAGES_MAX_SIDE_PX = 1999
"""Strictly under 2000 px: the documents say "2000", one report says that 2000 itself was refused."""

MAX_BASE64_CHARS = 10_485_760
"""Of one image, counted on the base64 string. Source: as above ("10 MB", base64-encoded)."""

MAX_IMAGE_BYTES = MAX_BASE64_CHARS // 4 * 3
"""The largest file whose base64 fits `MAX_BASE64_CHARS`."""

LOW_DETAIL_TOKENS = 400

_UNBOUNDED = 1 << 62


class Box(NamedTuple):
    """A part of a picture in its upright pixels; right and bottom are the first that are outside."""

    left_px: int
    top_px: int
    right_px: int
    bottom_px: int

    @property
    def size(self) -> Size:
        """Width and height."""
        return Size(self.right_px - self.left_px, self.bottom_px - self.top_px)


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What one picture becomes; the same plan and bytes give the same result in every process."""

    target: Size
    max_bytes: int = MAX_IMAGE_BYTES
    keep_bytes: bool = False
    """Whether the file travels as it is, less its metadata."""
    page: int | None = None
    """Which page of a PDF, from 0."""
    box: Box | None = None
    """What is cut out before anything else; None is the whole."""


def bounds_for(
    model: Model, detail: DetailLevel, max_image_tokens: int | None, image_count: int, *, steady: bool = False
) -> Bounds:
    """How large each of `image_count` pictures of one request may be sent to that model; `steady` as if they were many.

    `auto` and `high` give the largest size that the model sees natively: sending more costs the same and is scaled
    down by the vendor. `original` leaves that to the vendor and keeps the hard limits only.
    """
    tier = model.tier
    edge, tokens = tier.max_edge_px, tier.max_tokens
    if detail == "standard":
        edge, tokens = min(edge, STANDARD_TIER.max_edge_px), min(tokens, STANDARD_TIER.max_tokens)
    elif detail == "low":
        tokens = LOW_DETAIL_TOKENS
    elif detail == "original":
        edge, tokens = _UNBOUNDED, _UNBOUNDED
    return Bounds(
        max_edge_px=edge,
        max_tokens=tokens if max_image_tokens is None else min(tokens, max_image_tokens),
        max_side_px=MANY_IMAGES_MAX_SIDE_PX if steady or image_count > MANY_IMAGES else MAX_SIDE_PX,
    )


def plan_image(facts: ImageFacts, size_bytes: int, bounds: Bounds, part: Part | None = None) -> ImagePlan:
    """What a picture of those facts, or that part of it, becomes within those bounds. No pixel is enlarged.

    A page has no pixels: it is drawn as large as the bounds allow, and as the vendor's best tier sees.
    """
    if isinstance(part, Page):
        return ImagePlan(_page_size(part, bounds), page=part.number - 1)
    if isinstance(part, Tile):
        box = Box(part.left_px, part.top_px, part.left_px + part.size.width_px, part.top_px + part.size.height_px)
        return ImagePlan(shrink_to_fit(part.size, bounds), box=box)
    target = shrink_to_fit(facts.size, bounds)
    satisfied = facts.native and facts.upright and target == facts.size and size_bytes <= MAX_IMAGE_BYTES
    return ImagePlan(target, keep_bytes=satisfied)


def tightened(plan: ImagePlan, size_bytes: int, target: Size, max_bytes: int) -> ImagePlan:
    """The plan with less room. A file of `size_bytes` that was to keep its bytes does so only where it still can."""
    kept = plan.keep_bytes and target == plan.target and size_bytes <= max_bytes
    return replace(plan, target=target, max_bytes=max_bytes, keep_bytes=kept)


def _page_size(page: Page, bounds: Bounds) -> Size:
    scale = MAX_SIDE_PX / max(page.width_pt, page.height_pt)
    largest = Size(max(round(page.width_pt * scale), 1), max(round(page.height_pt * scale), 1))
    seen = Bounds(
        min(bounds.max_edge_px, HIGH_TIER.max_edge_px),
        min(bounds.max_tokens, HIGH_TIER.max_tokens),
        bounds.max_side_px,
    )
    return shrink_to_fit(largest, seen)
