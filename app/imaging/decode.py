"""File bytes in, pixels out: frame 0, 8 bit, in a mode that the resizer takes. One draft at the most, never a blur."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image, ImageChops, TiffImagePlugin

from app.domain import Size
from app.errors import ImageError
from app.imaging.formats import JPEG, PNG
from app.imaging.memory import draft_box
from app.imaging.orient import UPRIGHT, turn_upright
from app.imaging.plan import ImagePlan
from app.imaging.prescan import png_chunk
from app.imaging.probe import ImageFacts, open_image, undecodable

_PNG_DEPTH = 24
_DIRECT_MODES = frozenset({"L", "RGB", "RGBA", "CMYK"})
_KEYED_MODES = frozenset({"1", "L", "P", "RGB"})
_FULL_SCALES = (1.0, 255.0, 65_535.0)
_FULL_8_BIT = 255
_SIXTEEN_BITS = 16
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_WHITE_IS_ZERO = 258, 262, 0


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels in L, RGB, RGBA or CMYK, the EXIF orientation they still lie in, the profile or gamma that they are in."""

    pixels: Image.Image
    orientation: int
    profile: bytes | None = None
    gamma: float | None = None


class Whole:
    """The picture that parts are cut out of, decoded once for all of them."""

    def __init__(self) -> None:
        self._sha256 = ""
        self._upright: Decoded | None = None

    def upright(self, data: bytes, facts: ImageFacts) -> Decoded:
        """The whole picture, upright.

        Raises:
            ImageError: `image_undecodable`.
        """
        if self._upright is None or not facts.sha256 or self._sha256 != facts.sha256:
            self.forget()
            decoded = _decode_frame(data, facts, None)
            pixels = turn_upright(decoded.pixels, decoded.orientation)
            self._sha256, self._upright = facts.sha256, replace(decoded, pixels=pixels, orientation=UPRIGHT)
        return self._upright

    def forget(self) -> None:
        """Let go of it."""
        self._upright = None


def decode(data: bytes, facts: ImageFacts, plan: ImagePlan, whole: Whole) -> Decoded:
    """The pixels of frame 0, or of the plan's page or part of it, perhaps already scaled down towards its target.

    `whole` keeps what a part was cut out of, and nothing else.

    Raises:
        ImageError: `image_undecodable`.
    """
    if plan.box is not None:
        decoded = whole.upright(data, facts)
        return replace(decoded, pixels=decoded.pixels.crop(plan.box))
    whole.forget()
    if plan.page is not None:
        from app.imaging.pdf import render_page  # noqa: PLC0415 - 4.5 MB, which pictures need not take

        return Decoded(render_page(data, plan.page, plan.target), UPRIGHT)
    return _decode_frame(data, facts, plan.target)


def _decode_frame(data: bytes, facts: ImageFacts, target: Size | None) -> Decoded:
    """The pixels of frame 0; those of a JPEG perhaps already scaled down towards the upright `target`."""
    image = open_image(data, facts.format)
    try:
        if facts.format == JPEG and target is not None:
            image.draft(None, draft_box(facts, target))
        image.load()
        if facts.format == PNG:
            _scale_key(image, data[_PNG_DEPTH])
        profile = image.info.get("icc_profile")
        pixels = _without_idle_alpha(_eight_bit(image))
    except ImageError:
        raise
    except Exception as error:
        raise undecodable(facts.format, error) from error
    gamma = _png_gamma(image, data) if facts.format == PNG else None
    return Decoded(pixels, facts.orientation, profile if isinstance(profile, bytes) else None, gamma)


def _png_gamma(image: Image.Image, data: bytes) -> float | None:
    """The gamma of a PNG's samples, None where the file says their colour in a better way or not at all.

    Source: https://www.w3.org/TR/png-3/, 4.3 "Colour spaces": cICP before iCCP before sRGB before gAMA.
    """
    gamma = image.info.get("gamma")
    described = "icc_profile" in image.info or "srgb" in image.info or png_chunk(data, b"cICP") is not None
    return gamma if isinstance(gamma, float) and gamma > 0 and not described else None


def _scale_key(image: Image.Image, depth: int) -> None:
    """The transparent colour of a PNG brought to 8 bit, as its pixels were; Pillow leaves it at the file's depth."""
    key: int | bytes | tuple[int, int, int] | None = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = key * _FULL_8_BIT // (2**depth - 1)
    elif image.mode == "RGB" and depth == _SIXTEEN_BITS and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)


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
    """Grey of 12 or 16 bits as 8 bit, a transparent value as alpha; `convert` alone would clip it to white."""
    samples = image.convert("I")
    grey = _scaled(samples, _FULL_8_BIT / _full_scale(image)).convert("L")
    if _is_white_zero(image):
        grey = ImageChops.invert(grey)
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return grey
    opaque = [_FULL_8_BIT] * key + [0] + [_FULL_8_BIT] * (2**_SIXTEEN_BITS - 1 - key)
    alpha = samples.point(opaque, "L")  # pyright: ignore[reportUnknownMemberType] - Pillow's stub
    return Image.merge("RGBA", (grey, grey, grey, alpha))


def _full_scale(image: Image.Image) -> int:
    """White: 65,535, or 4,095 in a TIFF of 12 bits, which Pillow leaves unscaled."""
    bits = image.tag_v2.get(_TIFF_BITS) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    return 2 ** (bits[0] if bits else _SIXTEEN_BITS) - 1


def _is_white_zero(image: Image.Image) -> bool:
    """Whether a TIFF counts from white to black, which Pillow turns round at 8 bits only."""
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    return is_tiff and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO


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
