"""File bytes in, pixels out: frame 0, 8 bit, in a mode that the resizer takes. One draft at the most, never a blur."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from app.imaging.formats import JPEG
from app.imaging.memory import draft_box
from app.imaging.orient import UPRIGHT, turn_upright
from app.imaging.pdf import render_page
from app.imaging.plan import Box, ImagePlan
from app.imaging.probe import ImageFacts, open_image, undecodable

_DIRECT_MODES = frozenset({"L", "RGB", "RGBA", "CMYK"})
_KEYED_MODES = frozenset({"1", "L", "P", "RGB"})
_FULL_SCALES = (1.0, 255.0, 65_535.0)
_FULL_8_BIT, _FULL_16_BIT = 255, 65_535


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels in L, RGB, RGBA or CMYK, the EXIF orientation that they still lie in, and the ICC profile they are in."""

    pixels: Image.Image
    orientation: int
    profile: bytes | None = None


def decode(data: bytes, facts: ImageFacts, plan: ImagePlan) -> Decoded:
    """The pixels of frame 0, or of the plan's page or part of it, perhaps already scaled down towards its target.

    Raises:
        ImageError: `image_undecodable`.
    """
    if plan.page is not None:
        return Decoded(render_page(data, plan.page, plan.target), UPRIGHT)
    image = open_image(data, facts.format)
    try:
        if facts.format == JPEG and plan.box is None:
            image.draft(None, draft_box(facts, plan.target))
        image.load()
        profile = image.info.get("icc_profile")
        pixels = _without_idle_alpha(_eight_bit(image))
    except Exception as error:
        raise undecodable(facts.format, error) from error
    decoded = Decoded(pixels, facts.orientation, profile if isinstance(profile, bytes) else None)
    return decoded if plan.box is None else _cut_out(decoded, plan.box)


def _cut_out(decoded: Decoded, box: Box) -> Decoded:
    """The part of the upright picture."""
    upright = turn_upright(decoded.pixels, decoded.orientation)
    return Decoded(upright.crop(box), UPRIGHT, decoded.profile)


def _without_idle_alpha(image: Image.Image) -> Image.Image:
    """The picture without an alpha channel that hides nothing, as 444 of 466 real screenshots have one."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (_FULL_8_BIT, _FULL_8_BIT):
        return image.convert("RGB")
    return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """The pixels in one of the direct modes, a transparent key colour as alpha."""
    if "transparency" in image.info and image.mode in _KEYED_MODES:
        return image.convert("RGBA")
    if image.mode in _DIRECT_MODES:
        return image
    return _CONVERSIONS.get(image.mode, _to_rgb)(image)


def _from_16_bit(image: Image.Image) -> Image.Image:
    """16-bit grey as 8 bit; `convert` alone would clip it to white."""
    return _scaled(image.convert("I"), _FULL_8_BIT / _FULL_16_BIT).convert("L")


def _from_32_bit(image: Image.Image) -> Image.Image:
    """Integer or float grey as 8 bit: of 1, of 255 or of 65,535, by what the highest value needs."""
    grey = image.convert("F")
    _, highest = grey.getextrema()
    if not isinstance(highest, float):
        raise TypeError(image.mode)
    full_scale = next((scale for scale in _FULL_SCALES if highest <= scale), highest)
    return _scaled(grey, _FULL_8_BIT / full_scale).convert("L")


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    """Every value times the factor, in the same mode."""
    return image.point(lambda value: value * factor)  # pyright: ignore[reportUnknownMemberType] - Pillow's stub


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


def _to_rgba(image: Image.Image) -> Image.Image:
    return image.convert("RGBA")


_CONVERSIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "1": lambda image: image.convert("L"),
    "I;16": _from_16_bit,
    "I;16L": _from_16_bit,
    "I;16B": _from_16_bit,
    "I;16N": _from_16_bit,
    "I": _from_32_bit,
    "F": _from_32_bit,
    "LA": _to_rgba,
    "La": lambda image: image.convert("LA").convert("RGBA"),
    "PA": _to_rgba,
    "RGBa": _to_rgba,
}
