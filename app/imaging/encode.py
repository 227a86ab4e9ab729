"""Pixels in, file bytes out, by the policy: lossless for text, high-quality JPEG for photographs.

Where the result is over the byte limit, a ladder of rungs takes quality first and pixels last, for text stays legible
at full size and low quality long after it is gone at half size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO

from PIL import Image, ImageChops

from app.domain import MediaType

_MAX_COLOURS = 256
_FEW_GREYS = 16
_PHOTO_QUALITY = 90
_PNG_LEVEL = 3
_LADDER_SCALES = (0.85, 0.7, 0.5)  # one more, and the search would ask for a seventh encode


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file and, in words, how it was made."""

    data: bytes
    media_type: MediaType
    how: str
    lossless: bool = False


@dataclass(frozen=True, slots=True)
class Rung:
    """One step down: an encoder, and the share of the target's sides that it is given."""

    encode: Callable[[Image.Image], Encoded]
    scale: float = 1.0
    lossless: bool = False


def encode_best(image: Image.Image, *, synthetic: bool) -> Encoded:
    """The picture (mode L or RGB) as the policy wants it where bytes do not matter."""
    if not synthetic:
        return _jpeg(_PHOTO_QUALITY, image)
    png = _png(image)
    webp = _webp_lossless(image, method=2, quality=30)
    return png if png is not None and len(png.data) <= len(webp.data) else webp


def ladder(*, synthetic: bool) -> tuple[Rung, ...]:
    """The rungs below `encode_best`, best first."""
    if synthetic:
        lossless = (Rung(partial(_webp_lossless, method=4, quality=30), lossless=True),)
        qualities, encoder = (95, 90, 85, 75), _webp
    else:
        lossless = ()
        qualities, encoder = (85, 80, 75), _jpeg
    return (
        *lossless,
        *(Rung(partial(encoder, quality)) for quality in qualities),
        *(Rung(partial(encoder, qualities[-1]), scale) for scale in _LADDER_SCALES),
    )


def _jpeg(quality: int, image: Image.Image) -> Encoded:
    data = _saved(image, "JPEG", quality=quality, subsampling=0)
    return Encoded(data, "image/jpeg", f"encoded image/jpeg quality {quality}")


def _webp(quality: int, image: Image.Image) -> Encoded:
    data = _saved(image, "WEBP", method=4, quality=quality)
    return Encoded(data, "image/webp", f"encoded image/webp quality {quality}")


def _webp_lossless(image: Image.Image, *, method: int, quality: int) -> Encoded:
    data = _saved(image, "WEBP", lossless=True, method=method, quality=quality)
    return Encoded(data, "image/webp", "encoded image/webp lossless", lossless=True)


def _png(image: Image.Image) -> Encoded | None:
    """A grey or palette PNG; None where the picture has more colours than a palette holds."""
    indexed = _with_palette(image)
    if indexed is None and image.mode != "L":
        return None
    data = _saved(indexed or image, "PNG", compress_level=_PNG_LEVEL)
    return Encoded(data, "image/png", "encoded image/png lossless", lossless=True)


def _with_palette(image: Image.Image) -> Image.Image | None:
    """The same pixels as indices into a palette; None where that would change one of them or gain nothing."""
    colours = image.getcolors(_FEW_GREYS if image.mode == "L" else _MAX_COLOURS)
    if colours is None:
        return None
    rgb = image.convert("RGB")
    indexed = rgb.quantize(len(colours), method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return indexed if ImageChops.difference(indexed.convert("RGB"), rgb).getbbox() is None else None


def _saved(image: Image.Image, encoder: str, **options: int | bool) -> bytes:
    """The file, with nothing in it but pixels: no comment, profile or EXIF that the decoder left in `info`."""
    image.info = {}
    buffer = BytesIO()
    image.save(buffer, encoder, **options)
    return buffer.getvalue()
