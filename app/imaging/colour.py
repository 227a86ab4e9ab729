"""Colour set right on the resized pixels: the embedded profile to sRGB, transparency onto a plain ground."""

from io import BytesIO

from PIL import Image, ImageChops, ImageCms, ImageStat

_SRGB: ImageCms.ImageCmsProfile = ImageCms.createProfile("sRGB")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - Pillow's stub
_MODE_OF_SPACE = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_LIGHT_INK = 230
_MOSTLY_OPAQUE = 192
_DARK_INK, _HARDLY_ANY = 128, 1000
_LIGHT_GROUND, _DARK_GROUND = 255, 32
_GLANCE = (64, 64)
"""So many pixels show most pictures to be coloured, before all of them are compared."""


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    """The picture in sRGB grey or RGB (alpha kept), and whether the profile was applied.

    A profile that is broken, of another colour space or already sRGB is left aside; CMYK without a usable one gets the
    plain conversion.
    """
    if profile is not None:
        converted = _apply(image, profile)
        if converted is not None:
            return converted, True
    return (image.convert("RGB") if image.mode == "CMYK" else image), False


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
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        base = image.convert("RGB") if alpha is not None else image
        if _MODE_OF_SPACE.get(_colour_space(profile)) != base.mode:
            return None
        converted = ImageCms.profileToProfile(
            base,
            source,
            _SRGB,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if converted is not None and alpha is not None:
        converted.putalpha(alpha)
    return converted


def _colour_space(profile: bytes) -> str:
    """The colour space that a profile converts from, as its header names it: `RGB `, `GRAY`, `CMYK`, ...

    Source: ICC.1:2022, 7.2.6 (bytes 16 to 19).
    """
    return profile[16:20].decode("latin-1")
