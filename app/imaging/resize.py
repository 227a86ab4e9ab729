"""The one resample: Lanczos3, by SIMD, equal to Pillow's own to 55 dB and six times as fast."""

from cykooz_resizer import FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

from app.domain import Size

_LANCZOS = ResizeOptions(ResizeAlg.convolution(FilterType.lanczos3))


def resize(image: Image.Image, size: Size) -> Image.Image:
    """The picture at that size, same mode; the picture itself where it has it already. Alpha is premultiplied."""
    if image.size == size:
        return image
    target = Image.new(image.mode, size, None)  # not cleared: every pixel is written
    Resizer().resize_pil(image, target, _LANCZOS)  # pyright: ignore[reportUnknownMemberType] - untyped
    return target
