"""Text, screens and line art on one side, photographs on the other."""

from pathlib import Path
from random import Random

import pytest
from PIL import Image

from app.imaging.classify import is_synthetic
from app.imaging.tokens import Bounds, shrink_to_fit
from tests.imaging.pictures import facts_of, photo, prepared, scaled, screen

STANDARD = Bounds(max_edge_px=1568, max_tokens=1568, max_side_px=8000)
NOT_PICTURES = {".txt", ""}

PHOTOGRAPHS = {
    "heif": "alpha arrow aux_YCbCr bird_burst empty_icc invalid_id pug spatial_photo xiaomi zPug_3",
    "jpeg": "testimgari testimgint testorig",
    "mixed": "8bit.s cmyk-orientation-exif flower flower2 hopper hopper.iccprofile hopper_float_dpi_3 hopper_gray_4bpp "
    "hopper_jpg hopper_lzw rot3mir0 sugarshack tiff_16bit_RGB tiff_16bit_RGBa tiff_strip_ycbcr_jpeg_2x2_sampling "
    "weird_normalize_error",
    "photos": "portrait-cc-by-sa",
}
DRAWINGS = {
    "mixed": "1bit 256_color_palette animated anim_frame1 clipboard copyleft dispose_bgnd iss634 lab-green pil136 "
    "pil_sample_cmyk rdf star test-card-lossless transparent truncated_app14 transparency rgb_trns_ycbc",
    "photos": "huge-9643x10328 no_face",
}
"""By folder and stem: what was looked at and is plainly one or the other. The two in `photos` are a flat blue and a
drawing."""

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


# ---- real pictures, as docs/imaging.md counts them


def called_photographs(files: list[Path]) -> set[str]:
    """Those of the files that are encoded as photographs, at the size that the standard tier sees."""
    return {path.stem for path in files if how_encoded(path.read_bytes()).startswith("encoded image/jpeg")}


def how_encoded(data: bytes) -> str:
    return prepared(data, shrink_to_fit(facts_of(data).size, STANDARD)).operations[-1]


def named(corpus: Path, names: dict[str, str]) -> list[Path]:
    return [
        path
        for folder, stems in names.items()
        for path in sorted((corpus / folder).iterdir())
        if path.stem in stems.split()
    ]


@pytest.mark.parametrize(("folder", "count"), [("screenshots", 11), ("documents", 37)])
def test_every_screenshot_and_document_is_called_text(corpus: Path, folder: str, count: int) -> None:
    files = [path for path in (corpus / folder).iterdir() if path.suffix not in NOT_PICTURES]

    assert (len(files), called_photographs(files)) == (count, set())


def test_every_holiday_photo_is_called_a_photograph(corpus: Path) -> None:
    files = list((corpus / "orientation").glob("*.jpg"))

    assert (len(files), called_photographs(files)) == (18, {path.stem for path in files})


def test_of_the_other_photographs_the_one_in_16_greys_is_called_text(corpus: Path) -> None:
    files = named(corpus, PHOTOGRAPHS)

    assert (len(files), {path.stem for path in files} - called_photographs(files)) == (32, {"hopper_gray_4bpp"})


def test_of_the_drawings_two_rainbows_are_called_photographs(corpus: Path) -> None:
    files = named(corpus, DRAWINGS)

    assert (len(files), called_photographs(files)) == (20, {"transparency", "rgb_trns_ycbc"})
