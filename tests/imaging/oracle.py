"""A second opinion: what libvips makes of a file, for tests that must not believe Pillow alone.

The one place that speaks to `pyvips`, which has no types.
"""

from typing import Any

import pyvips
from PIL import Image

_vips: Any = pyvips
CANNOT_READ: type[Exception] = _vips.Error
"""What libvips raises of a file that it does not read."""


def seen_by_libvips(data: bytes, gamma: float | None = None, **options: int) -> Image.Image:
    """The first page upright, through its profile to sRGB, on white, 8 bit RGB.

    libvips does not look at a PNG's `gamma`; where given it is undone here, for a screen of 2.2. `options` are
    those of its loader, such as `shrink=8` of a JPEG.

    Raises:
        CANNOT_READ: libvips does not read the file.
    """
    image = _first_page(data, **options).autorot()
    image = _in_srgb(image if gamma is None else _with_gamma(image, gamma))
    if image.hasalpha():
        image = image.flatten(background=[255, 255, 255])
    return _as_pillow(image.cast("uchar")).convert("RGB")


def first_band_by_libvips(data: bytes) -> Image.Image:
    """The first band as unsigned 8-bit grey, where libvips takes it for signed numbers of 8 bits or for 32 bits."""
    band = _first_page(data)[0]
    if band.format == "int":
        band = (band / 257).cast("uchar")
    return _as_pillow(band).convert("RGB")


def _first_page(data: bytes, **options: int) -> Any:
    """All pixels in memory, so that an error in the file comes up here."""
    return _vips.Image.new_from_buffer(data, "", access="sequential", **options).copy_memory()


def _in_srgb(image: Any) -> Any:
    """By the embedded profile where there is one that fits; libvips' own for CMYK."""
    if image.get_typeof("icc-profile-data"):
        try:
            converted = image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
            image = converted.copy_memory()
        except CANNOT_READ:
            pass  # a broken profile, or one of another colour space
    return image.colourspace("srgb")


def _with_gamma(image: Any, gamma: float) -> Any:
    if not image.hasalpha():
        return image.gamma(exponent=gamma * 2.2)
    colours, alpha = image[: image.bands - 1], image[image.bands - 1]
    return colours.gamma(exponent=gamma * 2.2).bandjoin(alpha).copy(interpretation=image.interpretation)


def _as_pillow(image: Any) -> Image.Image:
    return Image.frombytes("RGB" if image.bands > 1 else "L", (image.width, image.height), image.write_to_memory())
