"""What a picture becomes: by model, detail, token budget, number of pictures and size in bytes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import load_catalog
from app.domain import HIGH_TIER, STANDARD_TIER, DetailLevel, Model, Size
from app.imaging.formats import GIF, HEIF, JPEG, PNG, TIFF, WEBP, Format
from app.imaging.plan import MAX_IMAGE_BYTES, Box, ImagePlan, bounds_for, plan_image, tightened
from app.imaging.probe import ImageFacts
from app.imaging.tokens import seen_size

STANDARD_MODEL = load_catalog().find("claude-haiku-4-5")
HIGH_MODEL = load_catalog().find("claude-fable-5")
UHD = Size(3840, 2160)
BOUNDS = bounds_for(STANDARD_MODEL, "auto", None, 1)


def facts(size: Size, found: Format = JPEG, orientation: int = 1, *, native: bool = True) -> ImageFacts:
    """Of a plain picture whose pixels are stored at that size."""
    return ImageFacts(
        found, size, orientation, "RGB", frames=1, sha256="", coefficient_bytes=0, keyed=False, native=native
    )


def target_of(
    size: Size, model: Model, detail: DetailLevel, max_image_tokens: int | None = None, count: int = 1
) -> Size:
    return plan_image(facts(size), 1000, bounds_for(model, detail, max_image_tokens, count)).target


def test_the_two_models_are_of_the_two_tiers() -> None:
    assert (STANDARD_MODEL.tier, HIGH_MODEL.tier) == (STANDARD_TIER, HIGH_TIER)


@pytest.mark.parametrize(
    ("model", "detail", "expected"),
    [
        (STANDARD_MODEL, "auto", Size(1456, 819)),
        (STANDARD_MODEL, "high", Size(1456, 819)),
        (STANDARD_MODEL, "standard", Size(1456, 819)),
        (STANDARD_MODEL, "low", Size(728, 410)),
        (STANDARD_MODEL, "original", UHD),
        (HIGH_MODEL, "auto", Size(2576, 1449)),
        (HIGH_MODEL, "high", Size(2576, 1449)),
        (HIGH_MODEL, "standard", Size(1456, 819)),
        (HIGH_MODEL, "low", Size(728, 410)),
        (HIGH_MODEL, "original", UHD),
    ],
)
def test_detail_decides_the_size(model: Model, detail: DetailLevel, expected: Size) -> None:
    assert target_of(UHD, model, detail) == expected


@pytest.mark.parametrize("detail", ["auto", "high", "standard", "low", "original"])
def test_a_small_picture_keeps_its_size_at_every_detail(detail: DetailLevel) -> None:
    assert target_of(Size(500, 500), HIGH_MODEL, detail) == (500, 500)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(Size(560, 560), Size(560, 560)), (Size(561, 560), Size(560, 559)), (Size(588, 560), Size(560, 533))],
)
def test_low_detail_is_400_tokens(size: Size, expected: Size) -> None:
    assert target_of(size, HIGH_MODEL, "low") == expected


@pytest.mark.parametrize(
    ("detail", "max_image_tokens", "expected"),
    [
        ("auto", 1560, Size(1456, 819)),
        ("auto", 99_999, Size(2576, 1449)),
        ("low", 99_999, Size(728, 410)),
        ("low", 100, Size(349, 196)),
        ("original", 1560, Size(1456, 819)),
        ("auto", 1, Size(28, 16)),
    ],
)
def test_a_token_budget_only_lowers(detail: DetailLevel, max_image_tokens: int, expected: Size) -> None:
    assert target_of(UHD, HIGH_MODEL, detail, max_image_tokens) == expected


@pytest.mark.parametrize(
    ("detail", "count", "expected"),
    [
        ("original", 20, Size(2400, 1000)),
        ("original", 21, Size(1999, 833)),
        ("auto", 20, Size(2400, 1000)),
        ("auto", 21, Size(1999, 833)),
    ],
)
def test_more_than_20_pictures_stay_under_2000_px(detail: DetailLevel, count: int, expected: Size) -> None:
    assert target_of(Size(2400, 1000), HIGH_MODEL, detail, count=count) == expected


def test_a_steady_picture_is_bounded_as_if_there_were_many() -> None:
    alone = bounds_for(HIGH_MODEL, "auto", None, 1, steady=True)

    assert alone == bounds_for(HIGH_MODEL, "auto", None, 21)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(Size(8000, 8000), Size(8000, 8000)), (Size(8001, 4000), Size(8000, 4000)), (Size(100, 16_000), Size(50, 8000))],
)
def test_original_detail_keeps_only_the_hard_limit_of_8000_px(size: Size, expected: Size) -> None:
    assert target_of(size, HIGH_MODEL, "original") == expected


@given(
    st.builds(Size, st.integers(1, 30_000), st.integers(1, 30_000)),
    st.sampled_from([STANDARD_MODEL, HIGH_MODEL]),
    st.sampled_from(["auto", "high", "standard", "low"]),
    st.none() | st.integers(1, 6000),
    st.integers(1, 100),
)
def test_what_is_planned_is_what_the_model_sees(
    size: Size, model: Model, detail: DetailLevel, max_image_tokens: int | None, count: int
) -> None:
    target = target_of(size, model, detail, max_image_tokens, count)

    assert seen_size(target, model.tier) == target


def test_the_target_is_upright() -> None:
    assert plan_image(
        facts(Size(4000, 3000), orientation=6), 1000, bounds_for(STANDARD_MODEL, "auto", None, 1)
    ) == ImagePlan(Size(952, 1270))


# ---- when the file travels as it is


@pytest.mark.parametrize("found", [JPEG, PNG, WEBP, GIF])
def test_a_native_picture_within_everything_keeps_its_bytes(found: Format) -> None:
    size = Size(1000, 500)

    assert plan_image(facts(size, found), 1000, BOUNDS) == ImagePlan(size, 7_864_320, keep_bytes=True)


@pytest.mark.parametrize("found", [HEIF, TIFF, JPEG])
def test_pixels_that_claude_cannot_read_are_not_kept(found: Format) -> None:
    size = Size(1000, 500)

    assert not plan_image(facts(size, found, native=False), 1000, BOUNDS).keep_bytes


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_not_kept(orientation: int) -> None:
    square = Size(500, 500)

    assert not plan_image(facts(square, orientation=orientation), 1000, BOUNDS).keep_bytes


def test_a_picture_that_is_scaled_is_not_kept() -> None:
    assert not plan_image(facts(Size(1569, 500)), 1000, BOUNDS).keep_bytes


@pytest.mark.parametrize("target", [Size(999, 500), Size(1000, 499)])
def test_a_picture_that_has_to_shrink_later_is_not_kept(target: Size) -> None:
    plan = ImagePlan(Size(1000, 500), keep_bytes=True)

    assert not tightened(plan, 1000, target, MAX_IMAGE_BYTES).keep_bytes


@pytest.mark.parametrize(("size_bytes", "keeps"), [(7_864_319, True), (7_864_320, True), (7_864_321, False)])
def test_bytes_are_kept_up_to_what_10_mb_of_base64_hold(size_bytes: int, keeps: bool) -> None:
    picture, bounds = facts(Size(1000, 500)), bounds_for(STANDARD_MODEL, "auto", None, 1)

    assert plan_image(picture, size_bytes, bounds) == ImagePlan(Size(1000, 500), 7_864_320, keep_bytes=keeps)


@pytest.mark.parametrize(("max_bytes", "keeps"), [(5000, True), (4999, False)])
def test_a_smaller_share_of_the_request_is_a_smaller_limit(max_bytes: int, keeps: bool) -> None:
    plan = ImagePlan(Size(1000, 500), keep_bytes=True, box=Box(0, 0, 1000, 500))

    assert tightened(plan, 5000, plan.target, max_bytes) == replace(plan, max_bytes=max_bytes, keep_bytes=keeps)


def test_a_plan_that_is_not_to_keep_its_bytes_never_does_later() -> None:
    assert not tightened(ImagePlan(Size(10, 10)), 10, Size(10, 10), MAX_IMAGE_BYTES).keep_bytes


@pytest.mark.parametrize(("count", "keeps"), [(20, True), (21, False)])
def test_a_picture_of_2000_px_is_kept_among_20_but_not_among_21(count: int, keeps: bool) -> None:
    bounds = bounds_for(HIGH_MODEL, "auto", None, count)

    assert plan_image(facts(Size(2000, 1000)), 1000, bounds).keep_bytes == keeps


def test_an_unlisted_model_gets_the_standard_size() -> None:
    unlisted = load_catalog().find("claude-of-tomorrow")

    assert target_of(UHD, unlisted, "auto") == (1456, 819)
