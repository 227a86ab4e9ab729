"""From bytes to what Claude gets: upright, in true colours, on a plain ground, in the right file, small enough."""

import subprocess
import sys
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageOps, JpegImagePlugin

from app.domain import Notice, Size
from app.errors import ErrorCode, ImageError
from app.imaging.decode import Whole, decode
from app.imaging.plan import MAX_IMAGE_BYTES, ImagePlan, plan_image
from app.imaging.render import PreparedImage, prepare
from app.imaging.tokens import Bounds
from tests.imaging.pictures import (
    BLUE,
    RED,
    RGB,
    chunk,
    colour_at,
    corner_colours,
    corners,
    decoded,
    exif,
    facts_of,
    gif,
    gif_frame,
    grey_tiff,
    ink,
    linear_grey_profile,
    opened,
    photo,
    png,
    prepared,
    rms,
    saved,
    scaled,
    screen,
    srgb_profile,
    swapped_profile,
)

Draw: TypeAlias = Callable[[], Image.Image]

UPRIGHT = ("red", "white", "green", "blue")
"""The corners of `corners()` as it was drawn."""

TURNED = {
    1: UPRIGHT,
    2: ("white", "red", "blue", "green"),
    3: ("blue", "green", "white", "red"),
    4: ("green", "blue", "red", "white"),
    5: ("red", "green", "white", "blue"),
    6: ("green", "red", "blue", "white"),
    7: ("blue", "white", "green", "red"),
    8: ("white", "blue", "red", "green"),
}
"""The corners that a person sees of a file that stores `corners()` under each EXIF orientation (EXIF 2.32, 4.6.4 A)."""

TINY = Bounds(max_edge_px=28 * 4, max_tokens=9, max_side_px=8000)


def codes(image: PreparedImage) -> list[str]:
    return [notice.code for notice in image.notices]


def all_near(found: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 3) -> bool:
    return all(abs(one - other) <= tolerance for one, other in zip(found, expected, strict=True))


# ---- upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_picture_is_turned_upright(kind: str, orientation: int) -> None:
    data = saved(corners(), kind, exif=exif(orientation), quality=95)

    image = prepared(data)

    assert corner_colours(image.data) == TURNED[orientation]
    assert image.size == ((64, 32) if orientation < 5 else (32, 64))


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_tiff_is_turned_upright_once(compression: str | None, orientation: int) -> None:
    data = saved(corners(), "TIFF", exif=exif(orientation), compression=compression)

    image = prepared(data)

    assert corner_colours(image.data) == TURNED[orientation]
    assert image.size == ((64, 32) if orientation < 5 else (32, 64))


def test_an_upright_tiff_stays_as_it_is() -> None:
    assert corner_colours(prepared(saved(corners(), "TIFF", exif=exif(1))).data) == UPRIGHT


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_when_it_is_scaled_down_too(orientation: int) -> None:
    data = saved(corners(640, 320), "JPEG", exif=exif(orientation))
    target = Size(100, 50) if orientation < 5 else Size(50, 100)

    image = prepared(data, target)

    assert (corner_colours(image.data), opened(image.data).size) == (TURNED[orientation], target)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_outside_1_to_8_is_upright(orientation: int) -> None:
    data = saved(corners(), "JPEG", exif=exif(orientation))

    assert corner_colours(prepared(data).data) == UPRIGHT


def test_the_turn_is_reported() -> None:
    data = saved(corners(), "PNG", exif=exif(6))

    assert prepared(data, Size(16, 32)).operations == (
        "decoded image/png",
        "rotated 90 degrees (EXIF orientation 6)",
        "downscaled 32x64 to 16x32",
        "encoded image/webp lossless",
    )


@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
@pytest.mark.parametrize("orientation", range(9))
def test_the_same_photo_in_every_orientation_is_the_same_photo(corpus: Path, shape: str, orientation: int) -> None:
    upright = (corpus / "orientation" / f"{shape}_1.jpg").read_bytes()
    turned = (corpus / "orientation" / f"{shape}_{orientation}.jpg").read_bytes()
    target = Size(600, 400) if shape == "Landscape" else Size(400, 600)

    image = prepared(turned, target)

    assert opened(image.data).size == target
    assert rms(image.data, prepared(upright, target).data) < 12


def test_a_heic_is_not_turned_twice(corpus: Path) -> None:
    image = prepared((corpus / "heif" / "arrow.heic").read_bytes(), Size(300, 400))

    tip = opened(image.data).convert("L").crop((0, 36, 300, 52))
    box = ImageOps.invert(tip).point([0] * 176 + [255] * 80).getbbox()  # pyright: ignore[reportUnknownMemberType] - Pillow's stub

    assert box is not None
    assert 120 < box[0] < box[2] < 180  # an arrow, drawn by hand, that points up: its tip is at the top, in the middle


def test_an_avif_turned_and_mirrored_by_its_container_is_upright(corpus: Path) -> None:
    image = prepared((corpus / "mixed" / "rot3mir0.avif").read_bytes())

    (_, _, sky), (_, _, ground) = colour_at(image.data, 0.2, 0.05), colour_at(image.data, 0.2, 0.95)
    assert (image.size, sky > 180, ground < 100) == ((640, 427), True, True)


# ---- colour


@pytest.mark.parametrize(
    ("ink", "expected"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (227, 6, 19)),
        ((255, 0, 0, 0), (0, 158, 224)),
        ((255, 0, 255, 0), (0, 150, 64)),
        ((0, 0, 0, 255), (29, 29, 27)),
        ((0, 128, 0, 0), (242, 127, 190)),
        ((0, 255, 255, 128), (128, 18, 23)),
    ],
    ids=["paper", "red", "cyan", "green", "black", "half magenta", "red half black"],
)
def test_cmyk_without_a_profile_looks_as_if_printed(ink: tuple[int, int, int, int], expected: RGB) -> None:
    image = prepared(saved(Image.new("CMYK", (60, 40), ink), "TIFF"))

    assert all_near(colour_at(image.data, 0.5, 0.5), expected, tolerance=1)
    assert "converted to sRGB (CMYK without a profile, as if printed)" in image.operations


def test_an_inverted_cmyk_jpeg_is_turned_round() -> None:
    data = saved(Image.new("CMYK", (60, 40), (0, 255, 255, 0)), "JPEG", quality=95)

    assert all_near(colour_at(prepared(data).data, 0.5, 0.5), (227, 6, 19), tolerance=4)


def test_a_cmyk_photo_is_sent_as_rgb() -> None:
    image = prepared(saved(photo().convert("CMYK"), "TIFF"))

    assert (image.media_type, opened(image.data).mode) == ("image/jpeg", "RGB")


def test_cmyk_goes_through_its_profile(corpus: Path) -> None:
    image = prepared((corpus / "mixed" / "cmyk-icc.jpg").read_bytes())

    assert "converted to sRGB (ICC profile)" in image.operations


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("target", [Size(60, 40), Size(30, 20)])
def test_a_profile_is_applied(kind: str, target: Size) -> None:
    data = saved(Image.new("RGB", (60, 40), RED), kind, icc_profile=swapped_profile())

    assert all_near(colour_at(prepared(data, target).data, 0.5, 0.5), BLUE, tolerance=12)


def test_a_profile_is_applied_under_transparency() -> None:
    image = Image.new("RGBA", (60, 40), (*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 30, 40))

    data = prepared(saved(image, "PNG", icc_profile=swapped_profile())).data

    assert colour_at(data, 0.2, 0.5) == (255, 255, 255)
    assert all_near(colour_at(data, 0.8, 0.5), BLUE, tolerance=12)


def test_an_srgb_profile_changes_nothing() -> None:
    image = prepared(saved(screen(), "PNG", icc_profile=srgb_profile()))

    assert (image.operations, decoded(image.data)[2]) == (
        ("decoded image/png", "encoded image/webp lossless"),
        screen().convert("RGBA").tobytes(),
    )


@pytest.mark.parametrize(
    "profile",
    [b"rubbish", b"", bytes(200), swapped_profile()[:300], swapped_profile().replace(b"RGB XYZ ", b"CMYKXYZ ")],
    ids=["rubbish", "empty", "zeros", "cut short", "of another colour space"],
)
def test_a_profile_that_cannot_be_used_is_left_aside(profile: bytes) -> None:
    data = saved(Image.new("RGB", (60, 40), RED), "PNG", icc_profile=profile)

    assert colour_at(prepared(data).data, 0.5, 0.5) == RED


def test_a_profile_that_is_srgb_by_another_name_changes_nothing() -> None:
    profile = srgb_profile().replace("sRGB".encode("utf-16-be"), "name".encode("utf-16-be"))

    image = prepared(saved(screen(), "PNG", icc_profile=profile))

    assert image.operations == ("decoded image/png", "encoded image/webp lossless")


def test_a_profile_called_srgb_that_is_another_is_applied() -> None:
    profile = swapped_profile().replace("swap".encode("utf-16-be"), "sRGB".encode("utf-16-be"))

    data = prepared(saved(Image.new("RGB", (60, 40), RED), "PNG", icc_profile=profile)).data

    assert all_near(colour_at(data, 0.5, 0.5), BLUE, tolerance=12)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profile_is_applied_with_and_without_alpha(mode: str) -> None:
    image = Image.new("LA", (60, 40), (64, 255))
    image.paste((0, 0), (0, 0, 30, 40))

    data = prepared(saved(image.convert(mode), "PNG", icc_profile=linear_grey_profile())).data

    assert all_near(colour_at(data, 0.8, 0.5), (137, 137, 137), tolerance=2)


def test_lab_becomes_rgb() -> None:
    data = saved(Image.new("LAB", (60, 40), (128, 128, 128)), "TIFF")

    assert all_near(colour_at(prepared(data).data, 0.5, 0.5), (119, 119, 119))


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    rows = b"".join(b"\x00" + bytes((value, 0)) * 3 for value in (0, 64, 128, 192, 255))

    image = prepared(png((3, 5), rows, depth=16))

    greys = [colour_at(image.data, 0.5, 0.1 + row / 5)[0] for row in range(5)]
    assert all_near(tuple(greys), (0, 64, 128, 191, 254), tolerance=1)


def test_16_bit_grey_of_the_other_byte_order_is_scaled_too() -> None:
    data = saved(Image.new("I", (60, 40), 0x8000).convert("I;16B"), "TIFF")

    assert all_near(colour_at(prepared(data).data, 0.5, 0.5), (127, 127, 127), tolerance=1)


def test_16_bit_colour_keeps_its_upper_byte() -> None:
    rows = b"\x00" + bytes((200, 1, 100, 2, 50, 3))

    assert colour_at(prepared(png((1, 1), rows, depth=16, colour_type=2)).data, 0, 0) == (200, 100, 50)


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("F", (0.0, 1.0), (0, 255)),
        ("F", (0.0, 255.0), (0, 255)),
        ("F", (51.0, 255.0), (51, 255)),
        ("I", (0, 65_535), (0, 255)),
        ("I", (0, 255), (0, 255)),
    ],
)
def test_grey_of_32_bits_is_scaled_by_its_highest_value(
    mode: str, values: tuple[float, float], expected: tuple[int, int]
) -> None:
    image = Image.new(mode, (40, 40), values[1])
    image.paste(values[0], (0, 0, 20, 40))

    data = prepared(saved(image, "TIFF")).data

    assert (colour_at(data, 0.25, 0.5)[0], colour_at(data, 0.75, 0.5)[0]) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_grey_without_a_sensible_value_is_a_picture_nonetheless(value: float) -> None:
    assert prepared(saved(Image.new("F", (10, 10), value), "TIFF")).size == (10, 10)


@pytest.mark.parametrize(
    ("bits", "photometric", "samples", "expected"),
    [
        (12, 1, b"\xff\xf0\x00", [255, 0]),
        (16, 1, b"\xff\xff\x00\x00", [255, 0]),
        (16, 0, b"\xff\xff\x00\x00", [0, 255]),
    ],
    ids=["12 bits", "16 bits", "16 bits, white is zero"],
)
def test_grey_tiffs_of_many_bits_go_from_black_to_white(
    bits: int, photometric: int, samples: bytes, expected: list[int]
) -> None:
    data = prepared(grey_tiff(samples, 2, bits=bits, photometric=photometric)).data

    assert [colour_at(data, across, 0)[0] for across in (0, 0.5)] == expected


@pytest.mark.parametrize(
    ("depth", "samples", "key"),
    [(2, b"\x70", 1), (4, b"\x5f", 5), (8, b"\x55\xff", 0x55), (16, b"\x12\x34\xff\xff", 0x1234)],
)
def test_a_transparent_grey_is_found_at_every_depth(depth: int, samples: bytes, key: int) -> None:
    data = png((2, 1), b"\x00" + samples, depth=depth, before=chunk(b"tRNS", key.to_bytes(2, "big")))

    image = prepared(data)

    assert [colour_at(image.data, across, 0) for across in (0, 0.5)] == [(32, 32, 32), (255, 255, 255)]
    assert "flattened on dark" in image.operations


def test_a_transparent_colour_of_16_bits_is_found() -> None:
    key, other = bytes.fromhex("123434565678"), bytes.fromhex("200040006000")
    data = png((2, 1), b"\x00" + key + other, depth=16, colour_type=2, before=chunk(b"tRNS", key))

    assert [colour_at(prepared(data).data, across, 0) for across in (0, 0.5)] == [(255, 255, 255), (32, 64, 96)]


GAMMA_1 = chunk(b"gAMA", (100_000).to_bytes(4, "big"))


@pytest.mark.parametrize(("colour_type", "pixel"), [(0, b"\x40"), (2, b"\x40\x40\x40"), (6, b"\x40\x40\x40\xff")])
def test_a_png_that_asks_for_gamma_gets_it(colour_type: int, pixel: bytes) -> None:
    image = prepared(png((1, 1), b"\x00" + pixel, colour_type=colour_type, before=GAMMA_1))

    assert colour_at(image.data, 0, 0) == (136, 136, 136)  # 255 * (64 / 255) ** (1 / 2.2)
    assert "applied PNG gamma 1" in image.operations


def test_gamma_leaves_transparency_as_it_is() -> None:
    image = prepared(png((1, 1), b"\x00\x00\x00\x00\x40", colour_type=6, before=GAMMA_1))

    assert colour_at(image.data, 0, 0) == (191, 191, 191)


@pytest.mark.parametrize(
    "before",
    [
        chunk(b"gAMA", (45_455).to_bytes(4, "big")),
        chunk(b"gAMA", (0).to_bytes(4, "big")),
        GAMMA_1 + chunk(b"sRGB", b"\x00"),
        GAMMA_1 + chunk(b"cICP", bytes((1, 13, 0, 1))),
        GAMMA_1 + chunk(b"iCCP", b"a\x00\x00" + zlib.compress(srgb_profile())),
    ],
    ids=["sRGB's own", "zero", "sRGB", "cICP", "a profile"],
)
def test_a_png_whose_colour_is_told_otherwise_gets_no_gamma(before: bytes) -> None:
    assert colour_at(prepared(png((1, 1), b"\x00\x40", before=before)).data, 0, 0) == (64, 64, 64)


def test_a_1_bit_scan_keeps_black_and_white() -> None:
    page = Image.new("1", (60, 40), 1)
    page.paste(0, (0, 0, 30, 40))

    data = prepared(saved(page, "TIFF", compression="group4")).data

    assert (colour_at(data, 0.2, 0.5), colour_at(data, 0.8, 0.5)) == ((0, 0, 0), (255, 255, 255))


def test_a_1_bit_scan_is_smoothed_when_scaled_down() -> None:
    page = Image.effect_mandelbrot((600, 400), (-3, -2.5, 2, 2.5), 100).convert("1")

    greys = opened(prepared(saved(page, "TIFF", compression="group4"), Size(300, 200)).data).convert("L").getcolors()

    assert greys is not None
    assert len(greys) > 16


def test_ycbcr_becomes_rgb() -> None:
    data = saved(Image.new("RGB", (64, 64), RED).convert("YCbCr"), "TIFF")

    assert all_near(colour_at(prepared(data).data, 0.5, 0.5), RED)


# ---- transparency


def test_dark_ink_goes_on_white() -> None:
    image = prepared(saved(ink((20, 20, 20)), "PNG"), Size(200, 150))

    assert (colour_at(image.data, 0.95, 0.95), "flattened on white" in image.operations) == ((255, 255, 255), True)


def test_white_ink_goes_on_a_dark_ground() -> None:
    image = prepared(saved(ink((255, 255, 255)), "PNG"), Size(200, 150))

    assert (colour_at(image.data, 0.95, 0.95), "flattened on dark" in image.operations) == ((32, 32, 32), True)


@pytest.mark.parametrize("colour", [(20, 20, 20), (255, 255, 255)])
def test_the_hidden_colour_of_transparent_pixels_is_seen_nowhere(colour: tuple[int, int, int]) -> None:
    image = prepared(saved(ink(colour), "PNG"), Size(200, 150))

    red, green, _ = opened(image.data).convert("RGB").split()
    assert ImageChops.difference(red, green).getbbox() is None  # grey throughout


def test_black_lines_between_white_boxes_are_not_lost() -> None:
    drawing = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    drawing.paste((255, 255, 255, 255), (20, 20, 180, 280))
    drawing.paste((255, 255, 255, 255), (220, 20, 380, 280))
    drawing.paste((0, 0, 0, 255), (180, 145, 220, 150))

    data = prepared(saved(drawing, "PNG")).data

    assert abs(colour_at(data, 0.5, 147 / 300)[0] - colour_at(data, 0.5, 0.1)[0]) > 100


def test_half_transparent_ink_is_mixed_with_the_ground() -> None:
    data = saved(Image.new("RGBA", (60, 40), (0, 0, 0, 128)), "PNG")

    assert colour_at(prepared(data).data, 0.5, 0.5) == (127, 127, 127)


def test_alpha_that_hides_nothing_is_no_operation() -> None:
    image = prepared(saved(screen().convert("RGBA"), "PNG"))

    assert image.operations == ("decoded image/png", "encoded image/webp lossless")


def test_a_transparent_palette_colour_goes_on_white() -> None:
    palette = chunk(b"PLTE", bytes((0, 0, 0, *BLUE))) + chunk(b"tRNS", b"\x00")

    data = prepared(png((2, 1), b"\x00\x00\x01", colour_type=3, before=palette)).data

    assert (colour_at(data, 0, 0), colour_at(data, 0.5, 0)) == ((255, 255, 255), BLUE)


def test_a_transparent_key_colour_goes_on_white() -> None:
    key = chunk(b"tRNS", bytes((0, 255, 0, 0, 0, 0)))

    data = prepared(png((2, 1), bytes((0, *RED, *BLUE)), colour_type=2, before=key)).data

    assert (colour_at(data, 0, 0), colour_at(data, 0.5, 0)) == ((255, 255, 255), BLUE)


# ---- animations and frames


def test_of_an_animation_the_first_frame_is_sent_and_said() -> None:
    frames = [Image.new("RGB", (300, 200), colour) for colour in ("blue", "red", "green")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])

    image = prepared(data)

    assert colour_at(image.data, 0.5, 0.5) == BLUE
    assert image.notices == (Notice("first_frame_only", "only the first of 3 frames or pages was sent"),)


def test_of_an_animation_no_bytes_are_kept() -> None:
    data = saved(corners(), "PNG", save_all=True, append_images=[Image.new("RGB", (64, 32))])
    facts = facts_of(data)

    assert not plan_image(facts, len(data), Bounds(1568, 1568, 8000)).keep_bytes


def test_an_animated_png_whose_default_picture_is_no_frame_shows_the_default_picture() -> None:
    frame = Image.new("RGB", (64, 32), "black")
    data = saved(corners(), "PNG", save_all=True, append_images=[frame, frame.copy()], default_image=True)

    assert corner_colours(prepared(data).data) == UPRIGHT


def test_a_frame_smaller_than_its_canvas_lies_where_it_belongs() -> None:
    blue_pixel = gif_frame(6, 2).replace(b"\x02\x02D\x01\x00", b"\x02\x02L\x01\x00")

    data = prepared(gif((8, 4), blue_pixel)).data

    assert (opened(data).size, colour_at(data, 6.5 / 8, 2.5 / 4), colour_at(data, 0, 0)) == ((8, 4), BLUE, RED)


# ---- size


@pytest.mark.parametrize("size", [Size(1, 1), Size(2, 1), Size(27, 29), Size(100, 75)])
def test_nothing_is_enlarged(size: Size) -> None:
    data = saved(photo(*size), "BMP")
    facts = facts_of(data)

    image = prepare(data, facts, plan_image(facts, len(data), Bounds(1568, 1568, 8000)))

    assert (opened(image.data).size, image.size) == (size, size)


@given(st.integers(2, 300), st.integers(2, 300), st.sampled_from(["BMP", "PNG", "TIFF", "GIF", "WEBP"]))
def test_the_size_reported_is_the_size_of_the_file(width: int, height: int, kind: str) -> None:
    data = saved(Image.new("RGB", (width, height), "teal"), kind)
    facts = facts_of(data)
    plan = plan_image(facts, len(data), TINY)

    image = prepare(data, facts, plan)

    assert opened(image.data).size == image.size == plan.target


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "LAB"])
def test_every_mode_is_scaled_down(mode: str) -> None:
    source = Image.new("L", (90, 60), 255)
    image = Image.new(mode, (90, 60)) if mode in {"I;16", "F", "LAB"} else source.convert(mode)

    assert opened(prepared(saved(image, "TIFF" if mode != "P" else "PNG"), Size(45, 30)).data).size == (45, 30)


# ---- draft


@pytest.mark.parametrize(
    ("target", "pixels"),
    [
        (Size(1600, 1200), (1600, 1200)),
        (Size(1000, 750), (1600, 1200)),
        (Size(534, 400), (1600, 1200)),
        (Size(533, 400), (800, 600)),
        (Size(268, 201), (800, 600)),
        (Size(266, 200), (400, 300)),
        (Size(133, 100), (200, 150)),
        (Size(8, 6), (200, 150)),
    ],
)
def test_a_jpeg_is_decoded_smaller_only_where_one_and_a_half_times_remains(
    target: Size, pixels: tuple[int, int]
) -> None:
    data = saved(corners(1600, 1200), "JPEG")

    assert decode(data, facts_of(data), ImagePlan(target), Whole()).pixels.size == pixels


def test_a_turned_jpeg_is_decoded_by_its_own_axes() -> None:
    data = saved(corners(1600, 400), "JPEG", exif=exif(6))

    assert decode(data, facts_of(data), ImagePlan(Size(100, 400)), Whole()).pixels.size == (800, 200)


SIDEWAYS = saved(corners(960, 640), "JPEG")


@given(st.integers(1, 960), st.integers(1, 640))
def test_a_draft_leaves_one_and_a_half_times_the_target_or_everything(width: int, height: int) -> None:
    pixels = decode(SIDEWAYS, facts_of(SIDEWAYS), ImagePlan(Size(width, height)), Whole()).pixels

    assert pixels.size == (960, 640) or (pixels.width + 0.5 >= 1.5 * width and pixels.height + 0.5 >= 1.5 * height)


# ---- encoding


def test_a_photo_becomes_jpeg_of_quality_90_without_chroma_subsampling() -> None:
    image = opened(prepared(saved(photo(), "BMP")).data)

    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    reference = opened(saved(photo(), "JPEG", quality=90))
    assert isinstance(reference, JpegImagePlugin.JpegImageFile)
    assert (image.quantization, JpegImagePlugin.get_sampling(image)) == (reference.quantization, 0)


def test_a_photo_becomes_a_baseline_jpeg() -> None:
    data = prepared(saved(photo(), "BMP")).data

    assert (b"\xff\xc0" in data, b"\xff\xc2" in data) == (True, False)


def test_a_grey_photo_becomes_a_grey_jpeg() -> None:
    image = prepared(saved(photo().convert("L").convert("RGB"), "BMP"))

    assert (image.media_type, opened(image.data).mode) == ("image/jpeg", "L")


def test_a_screen_keeps_every_pixel() -> None:
    image = prepared(saved(screen(), "BMP"))

    assert decoded(image.data)[2] == screen().convert("RGBA").tobytes()


def test_a_screen_scaled_down_is_lossless_too() -> None:
    image = prepared(saved(screen(800, 600), "BMP"), Size(400, 300))

    assert image.operations[-1] in {"encoded image/webp lossless", "encoded image/png lossless"}


@pytest.mark.parametrize("name", ["agent_id.png", "step16.jpeg", "litellm_ui_create_key.png"])
def test_a_real_screenshot_is_encoded_losslessly(corpus: Path, name: str) -> None:
    image = prepared((corpus / "screenshots" / name).read_bytes(), Size(700, 350))

    assert image.operations[-1] in {"encoded image/webp lossless", "encoded image/png lossless"}


@pytest.mark.parametrize("name", ["photos/portrait-cc-by-sa.jpg", "orientation/Portrait_6.jpg", "heif/pug.heic"])
def test_a_real_photo_is_encoded_as_jpeg(corpus: Path, name: str) -> None:
    image = prepared((corpus / name).read_bytes(), Size(400, 300))

    assert image.operations[-1] == "encoded image/jpeg quality 90"


@pytest.mark.parametrize("draw", [photo, screen])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF"])
def test_the_media_type_is_the_files_own(draw: Draw, kind: str) -> None:
    image = prepared(saved(draw(), kind))

    assert image.media_type == Image.MIME[opened(image.data).format or ""]


@pytest.mark.parametrize("draw", [photo, screen])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3])
@pytest.mark.parametrize("profile", [srgb_profile(), swapped_profile()], ids=["sRGB", "another profile"])
def test_nothing_but_pixels_is_in_the_file(draw: Draw, kind: str, orientation: int, profile: bytes) -> None:
    options = {"comment": b"SECRET"} if kind == "JPEG" else {}
    data = saved(draw(), kind, exif=exif(orientation), icc_profile=profile, **options)

    info = opened(prepared(data).data).info

    assert {"exif", "icc_profile", "comment", "xmp"}.isdisjoint(info)


def test_a_gifs_comment_is_not_in_the_file() -> None:
    data = saved(screen().quantize(16), "GIF", comment=b"SECRET")

    assert b"SECRET" not in prepared(data).data


def test_the_digest_is_of_the_file_that_is_sent() -> None:
    image = prepared(saved(photo(), "BMP"))

    assert image.sha256 == sha256(image.data).hexdigest()


# ---- the file as it is


def test_a_file_kept_without_metadata_is_the_same_object() -> None:
    data = saved(photo(), "JPEG")
    facts = facts_of(data)

    image = prepare(data, facts, ImagePlan(facts.size, keep_bytes=True))

    assert image.data is data
    assert image == PreparedImage(data, "image/jpeg", Size(320, 240), (), (), sha256(data).hexdigest())


def test_a_file_kept_without_its_metadata_says_how_much_it_lost() -> None:
    plain = saved(photo(), "JPEG")
    data = plain[:2] + b"\xff\xfe\x00\x08SECRET" + plain[2:]
    facts = facts_of(data)

    image = prepare(data, facts, ImagePlan(facts.size, keep_bytes=True))

    assert image == PreparedImage(
        plain, "image/jpeg", Size(320, 240), ("stripped 10 bytes of metadata",), (), sha256(plain).hexdigest()
    )


def test_a_malformed_file_is_encoded_anew_instead_of_kept() -> None:
    plain = saved(screen(), "PNG")
    data = plain[:-12]  # without its end chunk, which decoders forgive
    facts = facts_of(data)

    image = prepare(data, facts, ImagePlan(facts.size, keep_bytes=True))

    assert (image.operations[0], decoded(image.data)[2]) == ("decoded image/png", screen().convert("RGBA").tobytes())


# ---- the ladder


@pytest.mark.parametrize("draw", [photo, screen])
@pytest.mark.parametrize("share", [0.7, 0.6, 0.5, 0.35])
def test_a_file_under_a_small_limit_is_made_and_said_to_be_lossy(draw: Draw, share: float) -> None:
    data = saved(draw(), "BMP")
    limit = int(len(prepared(data).data) * share)

    image = prepared(data, max_bytes=limit)

    assert len(image.data) <= limit
    assert image.size == opened(image.data).size
    assert image.notices[-1] == Notice("lossy", f"{image.operations[-1]} to stay within {limit} bytes")


def test_quality_goes_before_pixels() -> None:
    data = saved(photo(), "BMP")

    image = prepared(data, max_bytes=len(prepared(data).data) - 1)

    assert (image.size, image.operations[-1]) == ((320, 240), "encoded image/jpeg quality 85")


def test_the_best_rung_that_fits_is_taken() -> None:
    data = saved(photo(), "BMP")
    quality_80 = len(saved(photo(), "JPEG", quality=80, subsampling=0))

    assert [prepared(data, max_bytes=limit).operations[-1] for limit in (quality_80, quality_80 - 1)] == [
        "encoded image/jpeg quality 80",
        "encoded image/jpeg quality 75",
    ]


def test_no_pixel_is_lost_below_half_of_the_target() -> None:
    data = saved(photo(), "BMP")
    quarter = len(saved(scaled(photo(), (160, 120)), "JPEG", quality=75, subsampling=0))

    assert prepared(data, max_bytes=int(quarter * 1.3)).size in {(160, 120), (195, 146)}


def test_an_impossible_limit_is_refused_with_both_figures() -> None:
    data = saved(photo(), "BMP")

    with pytest.raises(ImageError) as caught:
        prepared(data, max_bytes=100)

    error = caught.value
    assert error.code is ErrorCode.REQUEST_TOO_LARGE_AFTER_NORMALIZING
    assert error.message == (
        f"still {error.details['actual']} bytes at the lowest quality and half of 320x240 px; "
        "its share of the request is 100 bytes"
    )
    assert error.details["limit"] == 100


def test_text_that_fits_losslessly_is_not_made_lossy() -> None:
    text = screen(800, 600)
    limit = len(saved(text, "WEBP", lossless=True, method=4, quality=30))

    image = prepared(saved(text, "BMP"), max_bytes=limit)

    assert (image.operations[-1], codes(image)) == ("encoded image/webp lossless", [])


# ---- notices


@pytest.mark.parametrize(
    ("size", "expected"), [((200, 200), []), ((199, 200), ["small_image"]), ((200, 199), ["small_image"])]
)
def test_below_200_px_a_side_a_picture_is_small(size: tuple[int, int], expected: list[str]) -> None:
    assert codes(prepared(saved(photo(*size), "BMP"))) == expected


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [
        ((800, 200), Size(400, 100), []),
        ((801, 200), Size(400, 100), ["extreme_aspect"]),
        ((200, 801), Size(100, 400), ["extreme_aspect"]),
        ((801, 200), Size(801, 200), []),
    ],
)
def test_a_long_picture_that_is_scaled_down_is_extreme(
    size: tuple[int, int], target: Size, expected: list[str]
) -> None:
    assert codes(prepared(saved(photo(*size), "BMP"), target)) == expected


@pytest.mark.parametrize(("target", "expected"), [(Size(401, 301), []), (Size(400, 300), ["text_may_be_small"])])
def test_text_scaled_down_by_half_may_be_small(target: Size, expected: list[str]) -> None:
    assert codes(prepared(saved(screen(800, 600), "BMP"), target)) == expected


def test_of_a_photo_it_is_not_said_that_text_is_small() -> None:
    assert codes(prepared(saved(photo(800, 600), "BMP"), Size(400, 300))) == []


# ---- purity


@pytest.mark.parametrize("draw", [photo, screen])
def test_the_same_bytes_give_the_same_bytes(draw: Draw) -> None:
    data = saved(draw(), "PNG", exif=exif(6))

    assert prepared(data, Size(120, 160)) == prepared(data, Size(120, 160))


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from app.domain import Size
from app.imaging.limits import SourceLimits
from app.imaging.plan import ImagePlan
from app.imaging.probe import probe
from app.imaging.render import prepare
data = Path(sys.argv[1]).read_bytes()
print(prepare(data, probe(data, SourceLimits()), ImagePlan(Size(120, 160))).sha256)
"""


@pytest.mark.parametrize("draw", [photo, screen])
def test_another_process_gives_the_same_bytes(tmp_path: Path, draw: Draw) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(saved(draw(), "PNG", exif=exif(6)))

    answer = subprocess.run(  # noqa: S603 - this interpreter, our own program
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    assert answer.stdout.strip() == prepared(path.read_bytes(), Size(120, 160)).sha256


# ---- broken pixels


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "AVIF"])
def test_a_file_cut_in_half_is_refused_as_broken(kind: str) -> None:
    whole = saved(photo(), kind)

    with pytest.raises(ImageError) as caught:
        prepared(whole[: len(whole) // 2])

    assert caught.value.code is ErrorCode.IMAGE_UNDECODABLE


def test_a_file_cut_short_is_said_to_end_too_early() -> None:
    whole = saved(photo(), "JPEG")

    with pytest.raises(ImageError) as caught:
        prepared(whole[: len(whole) // 2])

    assert caught.value.message == "the image/jpeg file is broken: it ends too early"


def test_the_largest_file_is_10_mb_of_base64() -> None:
    assert MAX_IMAGE_BYTES == 7_864_320
