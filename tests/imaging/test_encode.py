"""Lossless files: which kind a picture gets, and how long the encoder searches for it."""

import pytest
from PIL import Image

from app.imaging.encode import encode_best, webp_effort
from tests.imaging.pictures import opened, photo, saved, scaled, screen

QUICK, THOROUGH = (0, 30), (1, 20)


def grey_screen() -> Image.Image:
    return screen(800, 600).convert("L")


def ramped_screen() -> Image.Image:
    """Text on a gradient: more colours than a palette holds."""
    ramp = scaled(Image.linear_gradient("L"), (800, 600))
    return Image.blend(screen(800, 600), Image.merge("RGB", (ramp, ramp, Image.new("L", ramp.size, 90))), 0.5)


@pytest.mark.parametrize("image", [scaled(grey_screen(), (410, 310)), photo(800, 600).convert("L")])
def test_a_grey_picture_becomes_a_grey_png_of_the_same_pixels(image: Image.Image) -> None:
    encoded = encode_best(image, synthetic=True)

    picture = opened(encoded.data)
    assert (encoded.media_type, picture.mode, picture.tobytes()) == ("image/png", "L", image.tobytes())


@pytest.mark.parametrize("image", [scaled(grey_screen(), (410, 310)), photo(800, 600).convert("L")])
def test_a_resized_grey_picture_is_no_larger_than_by_searching_for_repeats(image: Image.Image) -> None:
    assert len(encode_best(image, synthetic=True).data) <= len(saved(image, "PNG", compress_level=6))


def test_a_grey_picture_that_repeats_is_searched_for_repeats() -> None:
    tile = photo(64, 4).convert("L")
    image = Image.new("L", (640, 480))
    for left in range(0, image.width, tile.width):
        for top in range(0, image.height, tile.height):
            image.paste(tile, (left, top))

    assert len(encode_best(image, synthetic=True).data) < len(saved(image, "PNG", compress_type=3)) / 4


@pytest.mark.parametrize(
    ("image", "effort"), [(screen(800, 600), THOROUGH), (photo(800, 600), QUICK), (photo(90, 40), QUICK)]
)
def test_the_search_is_thorough_only_where_it_pays(image: Image.Image, effort: tuple[int, int]) -> None:
    assert webp_effort(image) == effort


def test_many_colours_become_a_webp_of_the_same_pixels() -> None:
    image = ramped_screen()

    encoded = encode_best(image, synthetic=True)

    assert (encoded.media_type, opened(encoded.data).convert("RGB").tobytes()) == ("image/webp", image.tobytes())
