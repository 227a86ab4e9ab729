"""The vendor's rules of size, against the vendor's own table and an independent transcription of its rule."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain import HIGH_TIER, STANDARD_TIER, Size, VisionTier
from app.imaging.tokens import Bounds, billed_tokens, seen_size, shrink_to_fit, visual_tokens

BOTH_TIERS = (STANDARD_TIER, HIGH_TIER)

sides = st.integers(1, 8000)
sizes = st.builds(Size, sides, sides)
tiers = st.sampled_from(BOTH_TIERS)
narrower = st.builds(
    Bounds,
    max_edge_px=st.sampled_from([1568, 2576, 1 << 62]),
    max_tokens=st.integers(1, 4784) | st.just(400),
    max_side_px=st.sampled_from([1999, 8000]),
)


def resize_by_the_documents(width: int, height: int, tier: VisionTier) -> tuple[int, int]:
    """The rule as https://platform.claude.com/docs/en/build-with-claude/vision-coordinates tells it, word for word."""

    def fits(w: int, h: int) -> bool:
        across, down = math.ceil(w / 28), math.ceil(h / 28)
        return 28 * across <= tier.max_edge_px and 28 * down <= tier.max_edge_px and across * down <= tier.max_tokens

    if fits(width, height):
        return width, height
    if height > width:
        h, w = resize_by_the_documents(height, width, tier)
        return w, h
    r = width / height
    lo, hi = 1, width
    while lo + 1 < hi:
        m = (lo + hi) // 2
        s = max(round(m / r), 1)
        if fits(m, s):
            lo = m
        else:
            hi = m
    return lo, max(round(lo / r), 1)


# ---- the documented tables


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        (Size(1, 1), 1),
        (Size(28, 28), 1),
        (Size(29, 28), 2),
        (Size(28, 29), 2),
        (Size(29, 29), 4),
        (Size(200, 200), 64),
        (Size(1092, 1092), 1521),
        (Size(1920, 1080), 2691),
        (Size(1, 28), 1),
        (Size(1, 29), 2),
    ],
)
def test_a_token_is_a_patch_of_28_px_begun(size: Size, tokens: int) -> None:
    assert visual_tokens(size) == tokens


@pytest.mark.parametrize(
    ("size", "standard", "high"),
    [
        (Size(200, 200), (Size(200, 200), 64), (Size(200, 200), 64)),
        (Size(1000, 1000), (Size(1000, 1000), 1296), (Size(1000, 1000), 1296)),
        (Size(1092, 1092), (Size(1092, 1092), 1521), (Size(1092, 1092), 1521)),
        (Size(1920, 1080), (Size(1456, 819), 1560), (Size(1920, 1080), 2691)),
        (Size(2000, 1500), (Size(1270, 952), 1564), (Size(2000, 1500), 3888)),
        (Size(3840, 2160), (Size(1456, 819), 1560), (Size(2576, 1449), 4784)),
        (Size(1075, 1520), (Size(924, 1307), 1551), (Size(1075, 1520), 2145)),
    ],
)
def test_the_documented_pictures_are_seen_and_billed_as_documented(
    size: Size, standard: tuple[Size, int], high: tuple[Size, int]
) -> None:
    answers = [(seen_size(size, tier), billed_tokens(size, tier)) for tier in BOTH_TIERS]

    assert answers == [standard, high]


@pytest.mark.parametrize(
    ("size", "tier", "tokens"),
    [
        (Size(1092, 1092), STANDARD_TIER, 1521),
        (Size(1270, 952), STANDARD_TIER, 1564),
        (Size(1344, 896), STANDARD_TIER, 1536),
        (Size(1456, 819), STANDARD_TIER, 1560),
        (Size(1568, 784), STANDARD_TIER, 1568),
        (Size(1307, 924), STANDARD_TIER, 1551),
        (Size(1932, 1932), HIGH_TIER, 4761),
        (Size(2212, 1659), HIGH_TIER, 4740),
        (Size(2352, 1568), HIGH_TIER, 4704),
        (Size(2576, 1449), HIGH_TIER, 4784),
        (Size(2576, 1288), HIGH_TIER, 4232),
        (Size(2296, 1623), HIGH_TIER, 4756),
    ],
)
def test_the_largest_size_of_a_shape_is_left_alone(size: Size, tier: VisionTier, tokens: int) -> None:
    assert (seen_size(size, tier), billed_tokens(size, tier)) == (size, tokens)


@pytest.mark.parametrize(
    ("shape", "standard", "high"),
    [
        ((1, 1), Size(1092, 1092), Size(1932, 1932)),
        ((4, 3), Size(1270, 952), Size(2212, 1659)),
        ((3, 2), Size(1344, 896), Size(2352, 1568)),
        ((16, 9), Size(1456, 819), Size(2576, 1449)),
        ((2, 1), Size(1568, 784), Size(2576, 1288)),
    ],
)
def test_a_large_picture_of_a_shape_becomes_the_largest_of_it(
    shape: tuple[int, int], standard: Size, high: Size
) -> None:
    large = Size(shape[0] * 480, shape[1] * 480) if shape[0] > 4 else Size(shape[0] * 2000, shape[1] * 2000)

    assert [seen_size(large, tier) for tier in BOTH_TIERS] == [standard, high]


@pytest.mark.parametrize(
    ("size", "standard", "high"),
    [
        (Size(8000, 1), Size(1568, 1), Size(2576, 1)),
        (Size(1, 8000), Size(1, 1568), Size(1, 2576)),
        (Size(8000, 28), Size(1568, 5), Size(2576, 9)),
        (Size(28, 8000), Size(5, 1568), Size(9, 2576)),
        (Size(8000, 8000), Size(1092, 1092), Size(1932, 1932)),
        (Size(1, 1), Size(1, 1), Size(1, 1)),
    ],
)
def test_extreme_shapes_keep_a_side_of_1_px(size: Size, standard: Size, high: Size) -> None:
    assert [seen_size(size, tier) for tier in BOTH_TIERS] == [standard, high]


@pytest.mark.parametrize(
    ("size", "tier", "seen"),
    [
        (Size(1568, 28), STANDARD_TIER, Size(1568, 28)),
        (Size(1569, 28), STANDARD_TIER, Size(1568, 28)),
        (Size(28, 1569), STANDARD_TIER, Size(28, 1568)),
        (Size(2576, 28), HIGH_TIER, Size(2576, 28)),
        (Size(2577, 28), HIGH_TIER, Size(2576, 28)),
    ],
)
def test_the_edge_limit_holds_to_the_pixel(size: Size, tier: VisionTier, seen: Size) -> None:
    assert seen_size(size, tier) == seen


def test_the_ratio_is_a_float_as_in_the_vendors_code() -> None:
    assert seen_size(Size(7506, 7852), HIGH_TIER) == (1876, 1962)  # an exact ratio would give 1963


# ---- properties of the vendor's rule


@given(sizes, tiers)
def test_our_rule_is_the_documents_rule(size: Size, tier: VisionTier) -> None:
    assert seen_size(size, tier) == resize_by_the_documents(*size, tier)


@given(sizes, tiers)
def test_what_is_seen_is_seen_again_as_it_is(size: Size, tier: VisionTier) -> None:
    seen = seen_size(size, tier)

    assert seen_size(seen, tier) == seen


@given(sizes, tiers)
def test_what_is_seen_fits_the_tier(size: Size, tier: VisionTier) -> None:
    seen = seen_size(size, tier)

    assert max(seen) <= tier.max_edge_px
    assert visual_tokens(seen) <= tier.max_tokens


@given(sizes, tiers)
def test_nothing_is_enlarged_and_nothing_vanishes(size: Size, tier: VisionTier) -> None:
    seen = seen_size(size, tier)

    assert 1 <= seen.width_px <= size.width_px
    assert 1 <= seen.height_px <= size.height_px


@given(sizes, tiers)
def test_the_shape_is_kept_to_the_rounding_of_the_shorter_side(size: Size, tier: VisionTier) -> None:
    longer, shorter = max(size), min(size)
    seen_longer, seen_shorter = max(seen_size(size, tier)), min(seen_size(size, tier))

    assert abs(seen_shorter - max(seen_longer * shorter / longer, 1)) <= 0.5 + 1e-9


@given(sizes, tiers)
def test_an_upright_picture_mirrors_a_lying_one(size: Size, tier: VisionTier) -> None:
    assume(size.width_px != size.height_px)

    assert seen_size(size.transposed, tier) == seen_size(size, tier).transposed


@given(sizes)
def test_the_high_tier_never_sees_less(size: Size) -> None:
    standard, high = (seen_size(size, tier) for tier in BOTH_TIERS)

    assert standard.width_px <= high.width_px


@given(sizes, tiers)
def test_a_picture_that_was_scaled_down_could_not_have_been_a_step_larger(size: Size, tier: VisionTier) -> None:
    seen = seen_size(size, tier)
    assume(seen != size)
    longer, ratio = max(seen) + 1, max(size) / min(size)
    step_up = Size(longer, max(round(longer / ratio), 1))

    assert not Bounds(tier.max_edge_px, tier.max_tokens, tier.max_edge_px).admit(step_up)


# ---- bounds of our own, narrower than the model's


@given(sizes, narrower)
def test_a_shrunk_picture_is_within_its_bounds(size: Size, bounds: Bounds) -> None:
    assert bounds.admit(shrink_to_fit(size, bounds))


@given(sizes, narrower, tiers)
def test_what_is_sent_within_a_models_bounds_is_what_it_sees(size: Size, bounds: Bounds, tier: VisionTier) -> None:
    within_tier = Bounds(
        min(bounds.max_edge_px, tier.max_edge_px), min(bounds.max_tokens, tier.max_tokens), bounds.max_side_px
    )
    sent = shrink_to_fit(size, within_tier)

    assert seen_size(sent, tier) == sent


@given(sizes, narrower)
def test_a_larger_budget_never_gives_a_smaller_picture(size: Size, bounds: Bounds) -> None:
    budgets = (bounds.max_tokens, bounds.max_tokens + 1, bounds.max_tokens * 2)
    widths = [
        shrink_to_fit(size, Bounds(bounds.max_edge_px, tokens, bounds.max_side_px)).width_px for tokens in budgets
    ]

    assert all(narrow <= wide for narrow, wide in pairwise(widths))


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    [(1, Size(28, 28)), (3, Size(28, 28)), (4, Size(56, 56)), (400, Size(560, 560)), (1521, Size(1092, 1092))],
)
def test_a_token_budget_gives_the_largest_square_of_it(max_tokens: int, expected: Size) -> None:
    assert shrink_to_fit(Size(4000, 4000), Bounds(2576, max_tokens, 8000)) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(1999, 100), Size(1999, 100)),
        (Size(2000, 100), Size(1999, 100)),
        (Size(100, 2000), Size(100, 1999)),
        (Size(2400, 1200), Size(1999, 1000)),
    ],
)
def test_the_side_limit_is_of_bare_pixels(size: Size, expected: Size) -> None:
    assert shrink_to_fit(size, Bounds(max_edge_px=2576, max_tokens=4784, max_side_px=1999)) == expected
