"""Colour set right on the resized pixels: profile, ink or gamma to sRGB, transparency onto a plain ground."""

from io import BytesIO
from itertools import product

from PIL import Image, ImageChops, ImageCms, ImageFilter, ImageStat

_SRGB: ImageCms.ImageCmsProfile = ImageCms.createProfile("sRGB")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - Pillow's stub
_MODE_OF_SPACE = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_PATCHES = {
    "RGB": Image.frombytes(
        "RGB", (216, 1), bytes(value for patch in product(range(0, 256, 51), repeat=3) for value in patch)
    ),
    "L": Image.frombytes("L", (256, 1), bytes(range(256))),
}
_SAME_COLOUR = 3
_COLOURS_OF_INK = (
    (255, 255, 255),  # paper
    (0, 158, 224),  # cyan
    (230, 0, 126),  # magenta
    (49, 39, 131),  # cyan and magenta
    (255, 237, 0),  # yellow
    (0, 150, 64),  # cyan and yellow
    (227, 6, 19),  # magenta and yellow
    (54, 50, 50),  # all three: our estimate, the lists have none
)
"""Solid inks and their overprints on coated paper, as sRGB shows them. Source: the process colours of FOGRA39
(ISO 12647-2:2004, paper type 1), as design tools list them."""
_BLACK_INK = (29, 29, 27)
_INKS = ImageFilter.Color3DLUT(2, [value / 255 for colour in _COLOURS_OF_INK for value in colour])
_SCREEN_GAMMA = 2.2
_SAME_GAMMA = 0.05
_LIGHT_INK = 230
_MOSTLY_OPAQUE = 192
_DARK_INK, _HARDLY_ANY = 128, 1000
_LIGHT_GROUND, _DARK_GROUND = 255, 32
_GLANCE = (64, 64)
"""So many pixels show most pictures to be coloured, before all of them are compared."""


def to_srgb(image: Image.Image, profile: bytes | None, gamma: float | None = None) -> tuple[Image.Image, str | None]:
    """The picture in sRGB grey or RGB (alpha kept), and what was done for it, None where nothing was.

    A profile that is broken, of another colour space or already sRGB is left aside; CMYK without a usable one is taken
    for ink on coated paper. `gamma` is that of a PNG whose colour nothing else describes.
    """
    converted = None if profile is None else _apply(image, profile)
    if converted is not None:
        return converted, "converted to sRGB (ICC profile)"
    if image.mode == "CMYK":
        return _printed(image), "converted to sRGB (CMYK without a profile, as if printed)"
    if gamma is not None and abs(gamma * _SCREEN_GAMMA - 1) > _SAME_GAMMA:
        return _with_gamma(image, gamma), f"applied PNG gamma {gamma:g}"
    return image, None


def flatten(image: Image.Image) -> tuple[Image.Image, str | None]:
    """The picture without alpha, and the ground it was put on: `white`, `dark`, or None where it has no alpha.

    The ground is dark where what is visible is nearly white, which on white would be gone, and much is transparent: a
    white logo, not a bright window with round corners.
    """
    if image.mode != "RGBA":
        return image, None
    alpha = image.getchannel("A")
    light = _is_light_ink(image.convert("L"), alpha)
    ground = _DARK_GROUND if light else _LIGHT_GROUND
    flat = Image.new("RGB", image.size, (ground, ground, ground))
    flat.paste(image, mask=alpha)
    return flat, "dark" if light else "white"


def _is_light_ink(grey: Image.Image, alpha: Image.Image) -> bool:
    """Whether what is visible is nearly white, hardly any of it dark, and much of the picture is transparent."""
    ink = ImageStat.Stat(grey, mask=alpha)
    visible, dark = ink.count[0], sum(grey.histogram(mask=alpha)[:_DARK_INK])
    mostly_opaque = ImageStat.Stat(alpha).mean[0] >= _MOSTLY_OPAQUE
    return visible > 0 and not mostly_opaque and ink.mean[0] > _LIGHT_INK and dark * _HARDLY_ANY < visible


def grey_if_grey(image: Image.Image) -> Image.Image:
    """The same picture in mode L where its three channels are equal: a third of the bytes for the same pixels."""
    if image.mode != "RGB" or not _is_grey(image.resize(_GLANCE, Image.Resampling.NEAREST)) or not _is_grey(image):  # pyright: ignore[reportUnknownMemberType] - Pillow's stub
        return image
    return image.getchannel(0)


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = image.split()
    return ImageChops.difference(red, green).getbbox() is None and ImageChops.difference(red, blue).getbbox() is None


def _apply(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture converted by its profile; None where that cannot or need not be done."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        base = image.convert("RGB") if alpha is not None else image
        mode = _MODE_OF_SPACE.get(_colour_space(profile))
        if mode == "L":
            base = grey_if_grey(base)  # grey with alpha or a palette comes as RGB
        if mode != base.mode:
            return None
        transform = ImageCms.buildTransform(
            source,
            _SRGB,
            base.mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        converted = None if _changes_nothing(transform, base.mode) else ImageCms.applyTransform(base, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if converted is not None and alpha is not None:
        converted.putalpha(alpha)
    return converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the profile is sRGB by what it does: names lie, for a linear sRGB is called sRGB too."""
    patches = _PATCHES.get(mode)
    if patches is None:
        return False
    converted = ImageCms.applyTransform(patches, transform)
    return converted is not None and _largest_difference(converted, patches.convert("RGB")) <= _SAME_COLOUR


def _largest_difference(one: Image.Image, other: Image.Image) -> int:
    """Of any channel of any pixel, in 0..255."""
    grey_levels = ImageChops.difference(one, other).histogram()
    return max(level % 256 for level, count in enumerate(grey_levels) if count)


def _printed(image: Image.Image) -> Image.Image:
    """CMYK as a press would print it, between the eight solids in a straight line, black ink above all.

    The plain formula (255 less ink) glows: libvips' press profile is 30 to 50 away from it, 6 to 10 from this.
    """
    cyan, magenta, yellow, black = image.split()
    colours = Image.merge("RGB", (cyan, magenta, yellow)).filter(_INKS)
    return Image.composite(Image.new("RGB", image.size, _BLACK_INK), colours, black)


def _with_gamma(image: Image.Image, gamma: float) -> Image.Image:
    """The picture as a screen should show samples of that file gamma; alpha as it was.

    Source: https://www.w3.org/TR/png-3/, 13.13 "Decoder gamma handling".
    """
    exponent = 1 / (gamma * _SCREEN_GAMMA)
    curve = [round(255 * (value / 255) ** exponent) for value in range(256)]
    straight = list(range(256))
    channels = {"L": curve, "RGB": 3 * curve, "RGBA": 3 * curve + straight}
    return image.point(channels[image.mode])  # pyright: ignore[reportUnknownMemberType] - Pillow's stub


def _colour_space(profile: bytes) -> str:
    """The colour space that a profile converts from, as its header names it: `RGB `, `GRAY`, `CMYK`, ...

    Source: ICC.1:2022, 7.2.6 (bytes 16 to 19).
    """
    return profile[16:20].decode("latin-1")
