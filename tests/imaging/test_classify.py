"""Text, screens and line art on one side, photographs on the other."""

from random import Random

import pytest
from PIL import Image

from app.imaging.classify import is_synthetic
from tests.imaging.pictures import photo, scaled, screen

RANDOM = Random(7)  # noqa: S311 - no secret


def striped() -> Image.Image:
    """Rows of one grey each, of all greys: every neighbour is equal, no grey prevails."""
    rows = bytes(row * 37 % 256 for row in range(256))
    return Image.frombytes("L", (1, 256), rows).resize((256, 256), Image.Resampling.NEAREST)  # pyright: ignore[reportUnknownMemberType] - Pillow's stub


def dithered() -> Image.Image:
    """Eight greys strewn at random: few neighbours are equal, eight greys are all there is."""
    return Image.frombytes("L", (200, 200), bytes(32 * RANDOM.randrange(8) for _ in range(200 * 200)))


@pytest.mark.parametrize(
    "image",
    [screen(), scaled(screen(800, 600), (400, 300)), striped(), dithered(), Image.new("RGB", (50, 50), "teal")],
    ids=["screen", "screen scaled down", "equal neighbours alone", "few greys alone", "one colour"],
)
def test_flat_areas_or_few_greys_are_synthetic(image: Image.Image) -> None:
    assert is_synthetic(image)


@pytest.mark.parametrize("image", [photo(), photo(40, 40), photo().convert("L")], ids=["large", "small", "grey"])
def test_grain_on_a_gradient_is_a_photo(image: Image.Image) -> None:
    assert not is_synthetic(image)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_a_picture_too_small_to_tell_is_encoded_losslessly(size: tuple[int, int]) -> None:
    assert is_synthetic(Image.new("RGB", size))


def test_a_screen_beside_a_photo_counts_by_its_share() -> None:
    mostly_screen = screen(1200, 800)
    mostly_screen.paste(photo(300, 200), (0, 0))

    assert is_synthetic(mostly_screen)
