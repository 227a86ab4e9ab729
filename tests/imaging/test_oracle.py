"""Every real picture as libvips sees it: the same colours, upright, and an output that both decoders read."""

from functools import cache

import pytest
from PIL import Image, ImageChops, ImageStat

from app.domain import Notice, Size
from app.imaging.plan import plan_image
from app.imaging.render import PreparedImage, prepare
from app.imaging.tokens import Bounds, shrink_to_fit
from tests.imaging.containers import foreign_parts
from tests.imaging.oracle import CANNOT_READ, first_band_by_libvips, seen_by_libvips
from tests.imaging.pictures import (
    chunk,
    colour_at,
    exif,
    facts_of,
    opened,
    png,
    prepared,
    saved,
    scaled,
    swapped_profile,
    with_segment,
)
from tests.imaging.test_corpus import CORPUS, FILES, REFUSED, TOO_HEAVY

MOST_RMS = 12
"""In 0..255, after averaging to 64 x 64: more is another picture or other colours, less are codecs and filters."""

PRESSES_APART = 16
"""Without a profile two presses are thought of, ours and libvips' own; the plain formula is 24 away here."""

RENDERED = Bounds(max_edge_px=8000, max_tokens=1 << 40, max_side_px=1000)
AS_SENT = Bounds(max_edge_px=1568, max_tokens=1568, max_side_px=8000)

PICTURES = sorted(set(FILES) - REFUSED.keys() - TOO_HEAVY)

NOT_READ_BY_LIBVIPS = {
    *(name for name in PICTURES if name.startswith("heif/")),  # its wheel has no HEVC decoder
    "mixed/image.heic",
    "mixed/16bit.cropped.jp2",  # nor a JPEG 2000 decoder
    "mixed/balloon.jpf",
    "mixed/image.jp2",
    "mixed/rgb_trns_ycbc.jp2",
    "mixed/test-card-lossless.jp2",
    "mixed/clipboard.dib",  # nor one for bitmaps and icons
    "mixed/hopper.ico",
    "mixed/lab-green.tif",
    "mixed/old-style-jpeg-compression-no-samplesperpixel.tif",
    "mixed/star.avifs",
    "mixed/tiff_tiled_planar_16bit_RGB.tiff",
    "mixed/tiff_tiled_planar_16bit_RGBa.tiff",
    "mixed/tiff_tiled_planar_lzw.tiff",
}
"""What libvips does not open; `TWINS` and the tests after it look at these by other means."""

READ_AS_NUMBERS = {
    "mixed/8bit.s.tif",  # marked as signed, a portrait only where its bytes are read as unsigned
    "mixed/16_bit_binary_pgm.tiff",  # 16-bit values in 32-bit samples, which libvips clips to white
}
"""What libvips takes for measurements, not for a picture: compared with the bare values of its first band."""

READ_ASKEW = {"mixed/separate_planar_extra_samples.tiff"}  # its second plane is declared, not there
"""What libvips reads wrongly, and a test of its own reads by hand."""

TWINS = {
    "heif/RGB_10__128x128.heif": "heif/RGB_12__128x128.heif",
    "heif/RGB_10__29x100.heif": "heif/RGB_12__29x100.heif",
    "heif/RGB_8__128x128.heif": "heif/RGB_8__29x100.heif",
    "heif/RGBA_10__128x128.heif": "heif/RGBA_12__128x128.heif",
    "heif/RGBA_10__29x100.heif": "heif/RGBA_12__29x100.heif",
    "heif/RGBA_8__128x128.heif": "heif/RGBA_8__29x100.heif",
    "heif/LA_8__128x128.heif": "heif/LA_8__29x100.heif",
    "heif/L_8__128x128.heif": "heif/L_10__128x128.heif",
    "heif/L_8__29x100.heif": "heif/L_12__29x100.heif",
    "mixed/image.heic": "heif/RGB_8__128x128.heif",
    "mixed/16bit.cropped.jp2": "mixed/16bit.cropped.tif",
    "mixed/image.jp2": "mixed/image.webp",
    "mixed/rgb_trns_ycbc.jp2": "mixed/transparency.avif",
    "mixed/tiff_tiled_planar_16bit_RGB.tiff": "mixed/tiff_16bit_RGB.tiff",
    "mixed/tiff_tiled_planar_16bit_RGBa.tiff": "mixed/tiff_16bit_RGBa.tiff",
    "mixed/tiff_tiled_planar_lzw.tiff": "mixed/tiff_strip_planar_lzw.tiff",
}
"""One scene in two files: of another depth, shape, layout or format."""

GAMMAS = ("g03", "g04", "g05", "g07", "g10", "g25")

needs_corpus = pytest.mark.skipif(not FILES, reason="the corpus of real pictures is not beside this checkout")


def read(name: str) -> bytes:
    return (CORPUS / name).read_bytes()


@cache
def rendered(name: str) -> PreparedImage:
    """The picture decoded and encoded anew, its longer side at most 1000 px."""
    data = read(name)
    return prepared(data, shrink_to_fit(facts_of(data).size, RENDERED))


def as_sent(name: str) -> PreparedImage:
    """What goes to Claude: the file itself, less its metadata, wherever it fits."""
    data = read(name)
    facts = facts_of(data)
    return prepare(data, facts, plan_image(facts, len(data), AS_SENT))


def apart(one: Image.Image, other: Image.Image) -> float:
    """The RMS of two RGB pictures after averaging, in 0..255."""
    squares = ImageStat.Stat(ImageChops.difference(*(scaled(image, (64, 64)) for image in (one, other)))).rms
    return (sum(band * band for band in squares) / 3) ** 0.5


def pixels(image: PreparedImage) -> Image.Image:
    return opened(image.data).convert("RGB")


def gamma_of(data: bytes) -> float | None:
    """The gamma that a PNG of the suite asks for; none of them says its colour in another way besides."""
    at = data.find(b"gAMA")
    return int.from_bytes(data[at + 4 : at + 8]) / 100_000 if data.startswith(b"\x89PNG") and at > 0 else None


# ---- colour


@needs_corpus
@pytest.mark.parametrize("name", sorted(set(PICTURES) - NOT_READ_BY_LIBVIPS - READ_AS_NUMBERS - READ_ASKEW))
def test_a_real_picture_has_the_colours_that_libvips_sees(name: str) -> None:
    data = read(name)
    gamma = gamma_of(data) if name.startswith("png/") else None

    assert apart(pixels(rendered(name)), seen_by_libvips(data, gamma)) < MOST_RMS


@needs_corpus
@pytest.mark.parametrize("name", sorted(READ_AS_NUMBERS))
def test_what_libvips_takes_for_numbers_has_the_values_of_its_first_band(name: str) -> None:
    assert apart(pixels(rendered(name)), first_band_by_libvips(read(name))) < 2


@needs_corpus
@pytest.mark.parametrize("name", sorted(NOT_READ_BY_LIBVIPS))
def test_what_is_said_to_be_beyond_libvips_is(name: str) -> None:
    with pytest.raises(CANNOT_READ):
        seen_by_libvips(read(name))


@needs_corpus
@pytest.mark.parametrize(("name", "twin"), TWINS.items())
def test_two_files_of_one_scene_look_alike(name: str, twin: str) -> None:
    reference = pixels(rendered(twin)) if twin in NOT_READ_BY_LIBVIPS else seen_by_libvips(read(twin))

    assert apart(pixels(rendered(name)), reference) < 5


@needs_corpus
@pytest.mark.parametrize("depth", [8, 10, 12])
@pytest.mark.parametrize("shape", ["128x128", "29x100"])
def test_a_grey_ramp_in_heif_goes_from_black_to_white(depth: int, shape: str) -> None:
    data = rendered(f"heif/L_{depth}__{shape}.heif").data

    assert [round(colour_at(data, 0.5, share)[0] / 51) for share in (0, 0.2, 0.4, 0.6, 0.8, 0.99)] == [0, 1, 2, 3, 4, 5]


@needs_corpus
def test_a_tiff_without_its_second_plane_shows_its_first() -> None:
    data = rendered("mixed/separate_planar_extra_samples.tiff").data

    assert [colour_at(data, across, 0.5)[0] for across in (0.02, 0.48, 0.52, 0.98)] == [0, 0, 255, 255]


@needs_corpus
def test_lab_is_the_green_that_its_numbers_say() -> None:
    # L 50.2, a -100, b 0 under D50, Bradford to D65, outside of sRGB in red
    assert colour_at(rendered("mixed/lab-green.tif").data, 0.5, 0.5) == (0, 152, 117)


@needs_corpus
@pytest.mark.parametrize("kind", ["0g16", "2c08", "3p04"])
def test_a_scene_saved_with_six_gammas_looks_the_same(kind: str) -> None:
    above_the_label = (0, 4, 32, 20)  # which names the gamma
    first, *others = [pixels(rendered(f"png/{gamma}n{kind}.png")).crop(above_the_label) for gamma in GAMMAS]

    assert max(apart(first, other) for other in others) < 6


@needs_corpus
def test_a_picture_of_100_megapixels_has_its_colours() -> None:
    data = read("photos/huge-9643x10328.jpg")

    assert apart(pixels(prepared(data, Size(482, 516))), seen_by_libvips(data, shrink=8)) < MOST_RMS


MADE = [
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("TIFF", mode) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16")),
    *((kind, mode) for kind in ("WEBP", "AVIF") for mode in ("RGB", "RGBA")),
]


def scene(mode: str) -> Image.Image:
    """A soft picture that no turn leaves alike, in that mode; where it has alpha, half of it is seen through."""
    ramp = Image.linear_gradient("L").crop((0, 40, 160, 240))
    image = Image.merge("RGB", (ramp, ramp.transpose(Image.Transpose.FLIP_TOP_BOTTOM), Image.new("L", ramp.size, 90)))
    image.paste((200, 40, 40), (0, 0, 60, 50))
    if mode == "I;16":
        return image.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")  # pyright: ignore[reportUnknownMemberType] - Pillow's stub
    image = image.convert(mode.removesuffix("A")) if mode in {"LA", "RGBA"} else image.convert(mode)
    if mode in {"LA", "RGBA"}:
        image.putalpha(ramp.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    return image


@pytest.mark.parametrize(("kind", "mode"), MADE)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_mode_of_every_format_in_every_orientation_is_as_libvips_sees_it(
    kind: str, mode: str, orientation: int
) -> None:
    data = saved(scene(mode), kind, exif=exif(orientation), **({"quality": 95} if kind != "TIFF" else {}))

    assert apart(pixels(prepared(data)), seen_by_libvips(data)) < (PRESSES_APART if mode == "CMYK" else 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_profile_is_applied_as_libvips_applies_it(kind: str) -> None:
    data = saved(scene("RGB"), kind, icc_profile=swapped_profile())

    assert apart(pixels(prepared(data)), seen_by_libvips(data)) < 4


def test_a_transparent_gif_is_as_libvips_sees_it() -> None:
    data = saved(scene("RGB").quantize(16), "GIF", transparency=3)

    image = prepared(data)

    assert "flattened on white" in image.operations
    assert apart(pixels(image), seen_by_libvips(data)) < 3


# ---- the first frame


@needs_corpus
@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("mixed/animated.gif", 2),
        ("mixed/iss634.webp", 42),
        ("mixed/star.avifs", 5),
        ("mixed/multipage-mmap.tiff", 3),
        ("mixed/sugarshack.mpo", 2),
        ("heif/bird_burst.heic", 4),
    ],
)
def test_of_many_frames_it_is_said_that_the_first_was_sent(name: str, frames: int) -> None:
    message = f"only the first of {frames} frames or pages was sent"

    assert Notice("first_frame_only", message) in rendered(name).notices


# ---- upright


@needs_corpus
@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
def test_a_scene_in_nine_orientations_is_one_scene(shape: str) -> None:
    first, *others = [pixels(rendered(f"orientation/{shape}_{orientation}.jpg")) for orientation in range(9)]

    assert max(apart(first, other) for other in others) < 5  # each bears its number: libvips finds up to 4.2


# ---- the file


@needs_corpus
@pytest.mark.parametrize("name", PICTURES)
def test_a_rendered_picture_is_a_sound_file_of_pixels_alone(name: str) -> None:
    data = rendered(name).data

    assert foreign_parts(data) == []
    assert apart(opened(data).convert("RGB"), seen_by_libvips(data)) < 1


@needs_corpus
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_as_sent_is_a_sound_file_without_metadata(name: str) -> None:
    data = as_sent(name).data

    assert foreign_parts(data) == []
    assert opened(data).size == seen_by_libvips(data).size


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (saved(Image.new("RGB", (9, 9)), "JPEG"), []),
        (saved(Image.new("RGB", (9, 9)), "JPEG", comment=b"hidden"), ["marker 0xfe b'hidden'"]),
        (with_segment(saved(Image.new("RGB", (9, 9)), "JPEG"), 0xE1, b"Exif\0\0"), ["marker 0xe1 b'Exif\\x00\\x00'"]),
        (saved(Image.new("RGB", (9, 9)), "JPEG") + b"more", ["4 bytes after the end"]),
        (saved(Image.new("RGB", (9, 9)), "PNG"), []),
        (png((1, 1), b"\0\0", before=chunk(b"tEXt", b"a")) + b"more", ["chunk tEXt", "4 bytes after the end"]),
        (saved(Image.new("RGB", (9, 9)), "WEBP"), []),
        (
            saved(Image.new("RGB", (9, 9)), "WEBP", xmp=b"<x/>"),
            ["a flag that announces EXIF or XMP", "chunk 'XMP '"],
        ),
        (saved(Image.new("RGB", (9, 9)), "WEBP") + b"more", ["a length that is not the file's"]),
        (saved(Image.new("L", (9, 9)), "GIF"), []),
        (
            saved(Image.new("L", (9, 9)), "GIF", comment=b"hidden") + b"more",
            ["extension 0xfe", "4 bytes after the end"],
        ),
    ],
    ids=range(11),
)
def test_the_reader_of_files_finds_what_is_foreign(data: bytes, expected: list[str]) -> None:
    assert foreign_parts(data) == expected
