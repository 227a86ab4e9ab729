"""The resample: what is made in bands is what would be made at once."""

import pytest
from cykooz_resizer import FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image, ImageChops

from app.domain import Size
from app.imaging.resize import resize


def at_once(image: Image.Image, size: Size) -> Image.Image:
    target = Image.new(image.mode, size)
    Resizer().resize_pil(image, target, ResizeOptions(ResizeAlg.convolution(FilterType.lanczos3)))  # pyright: ignore[reportUnknownMemberType] - untyped
    return target


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA"])
@pytest.mark.parametrize("size", [Size(1499, 1123), Size(600, 1999)], ids=str)
def test_bands_show_no_seam(mode: str, size: Size) -> None:
    grain = Image.effect_noise((1600, 2400), 60)
    image = Image.merge(mode, [grain] * len(mode)) if len(mode) > 1 else grain

    differences = ImageChops.difference(resize(image, size), at_once(image, size)).histogram()

    assert max(level % 256 for level, count in enumerate(differences) if count) <= 1


def test_a_picture_of_that_size_is_left_alone() -> None:
    image = Image.new("RGB", (8, 6))

    assert resize(image, Size(8, 6)) is image
