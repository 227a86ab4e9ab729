"""What the caller should know about a picture although it was accepted: the warnings of the report."""

from collections.abc import Iterator

from app.domain import Notice, Size
from app.imaging.tiles import EXTREME_ASPECT

SMALL_SIDE_PX = 200
"""Below it the vendor warns of invented answers. Source: https://platform.claude.com/docs/en/build-with-claude/vision."""

SMALL_TEXT_SCALE = 2.0
SMALL_PAGE_SCALE = 1.0


def notices_for(size: Size, frames: int, sent: Size, *, is_text: bool) -> Iterator[Notice]:
    """The warnings that follow from the size and frames of the original, or its part, and the size it is sent at."""
    scale = size.width_px / sent.width_px
    if min(size) < SMALL_SIDE_PX:
        yield Notice(
            "small_image", f"{size} px: below {SMALL_SIDE_PX} px a side Claude tends to guess; send a larger one"
        )
    if frames > 1:
        yield Notice("first_frame_only", f"only the first of {frames} frames or pages was sent")
    if sent != size and max(size) > EXTREME_ASPECT * min(size):
        yield Notice(
            "extreme_aspect",
            f"{size} px is longer than {EXTREME_ASPECT}:1 and was scaled down {scale:.1f} times to fit; "
            "tiles=true cuts it into parts that keep their detail",
        )
    if is_text and scale >= SMALL_TEXT_SCALE:
        yield Notice("text_may_be_small", f"text was scaled down {scale:.1f} times; crop to the part that matters")


def page_notices(size_pt: Size, sent: Size, *, is_text: bool) -> Iterator[Notice]:
    """The warnings that follow from the size of a page in points and the size it is drawn at."""
    scale = sent.width_px / size_pt.width_px
    if max(size_pt) > EXTREME_ASPECT * min(size_pt):
        yield Notice(
            "extreme_aspect",
            f"the page of {size_pt} points is longer than {EXTREME_ASPECT}:1 and was drawn at {sent} px; "
            "split it to keep its detail",
        )
    if is_text and scale < SMALL_PAGE_SCALE:
        yield Notice(
            "text_may_be_small",
            f"the page was drawn at {scale:.1f} px a point: text of 10 points is {10 * scale:.0f} px high",
        )
