"""Metadata leaves a file, its pixels stay: compared after decoding both."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from app.imaging.formats import GIF, JPEG, PNG, WEBP, Format
from app.imaging.strip import strip_metadata
from tests.imaging.pictures import (
    chunk,
    decoded,
    exif,
    gif,
    gif_frame,
    opened,
    photo,
    png,
    saved,
    scaled,
    segment,
    srgb_profile,
    webp_with,
    with_segment,
)

XMP = b"<x:xmpmeta>SECRET-XMP</x:xmpmeta>"
PICTURE = photo(80, 60)
PLAIN_JPEG = saved(PICTURE, "JPEG", quality=90)
PLAIN_PNG = saved(PICTURE, "PNG")
PLAIN_WEBP = saved(PICTURE, "WEBP", lossless=True)
PLAIN_GIF = saved(PICTURE.quantize(64), "GIF")
PLAIN: dict[Format, bytes] = {JPEG: PLAIN_JPEG, PNG: PLAIN_PNG, WEBP: PLAIN_WEBP, GIF: PLAIN_GIF}
WIDE_GAMUT = b"\x00" * 16 + b"RGB " + b"acsp Display P3 wide gamut"


def stripped(data: bytes, found: Format) -> bytes:
    """What is left of the file; it must be well-formed."""
    kept = strip_metadata(data, found)
    assert kept is not None
    return kept


# ---- what leaves, format by format


JPEG_SECRETS = {
    "exif with gps": saved(PICTURE, "JPEG", exif=exif(1)),
    "xmp": saved(PICTURE, "JPEG", xmp=XMP),
    "comment": saved(PICTURE, "JPEG", comment=b"SECRET"),
    "photoshop": with_segment(PLAIN_JPEG, 0xED, b"Photoshop 3.0\x00SECRET"),
    "mpf": with_segment(PLAIN_JPEG, 0xE2, b"MPF\x00SECRET"),
    "maker data": with_segment(PLAIN_JPEG, 0xEF, b"SECRET"),
    "app14 of others": with_segment(PLAIN_JPEG, 0xEE, b"SECRET"),
    "trailer": PLAIN_JPEG + b"SECRET",
}
PNG_SECRETS = {
    "exif": saved(PICTURE, "PNG", exif=exif(1)),
    "text": png((1, 1), b"\x00\x80", before=chunk(b"tEXt", b"Author\x00SECRET")),
    "compressed text": png((1, 1), b"\x00\x80", before=chunk(b"zTXt", b"Author\x00\x00SECRET")),
    "xmp": png((1, 1), b"\x00\x80", before=chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + XMP)),
    "time": png((1, 1), b"\x00\x80", before=chunk(b"tIME", b"SECRET!")),
    "unknown chunk": png((1, 1), b"\x00\x80", before=chunk(b"caNv", b"SECRET")),
    "after the pixels": png((1, 1), b"\x00\x80", after=chunk(b"eXIf", b"II*\x00SECRET")),
    "trailer": PLAIN_PNG + b"SECRET",
}
WEBP_SECRETS = {
    "exif": saved(PICTURE, "WEBP", lossless=True, exif=exif(1)),
    "xmp": saved(PICTURE, "WEBP", lossless=True, xmp=XMP),
    "xmp of odd length": saved(PICTURE, "WEBP", lossless=True, xmp=XMP + b"!"),
    "both": saved(PICTURE, "WEBP", lossless=True, xmp=XMP, exif=exif(1)),
    "trailer": PLAIN_WEBP + b"SECRET",
}
GIF_SECRETS = {
    "comment": saved(PICTURE.quantize(64), "GIF", comment=b"SECRET"),
    "xmp": gif((1, 1), gif_frame(0, 0), extensions=b"!\xff\x0bXMP DataXMP\x06SECRET\x00"),
    "comment of two blocks": gif((1, 1), gif_frame(0, 0), extensions=b"!\xfe\x03abc\x06SECRET\x00"),
    "trailer": PLAIN_GIF + b"SECRET",
}
SECRETS = [
    pytest.param(data, found, id=f"{found.decoder} {name}")
    for found, files in ((JPEG, JPEG_SECRETS), (PNG, PNG_SECRETS), (WEBP, WEBP_SECRETS), (GIF, GIF_SECRETS))
    for name, data in files.items()
]


@pytest.mark.parametrize(("data", "found"), SECRETS)
def test_the_secret_was_there(data: bytes, found: Format) -> None:
    assert b"SECRET" in data
    assert len(data) > len(stripped(data, found))


@pytest.mark.parametrize(("data", "found"), SECRETS)
def test_the_secret_is_gone(data: bytes, found: Format) -> None:
    assert b"SECRET" not in stripped(data, found)


@pytest.mark.parametrize(("data", "found"), SECRETS)
def test_the_pixels_are_the_same(data: bytes, found: Format) -> None:
    assert decoded(stripped(data, found)) == decoded(data)


@pytest.mark.parametrize(("data", "found"), SECRETS)
def test_a_stripped_file_has_nothing_left_to_strip(data: bytes, found: Format) -> None:
    once = stripped(data, found)

    assert strip_metadata(once, found) is once


@pytest.mark.parametrize("found", [JPEG, PNG, WEBP, GIF])
def test_a_file_without_metadata_comes_back_as_the_same_object(found: Format) -> None:
    assert strip_metadata(PLAIN[found], found) is PLAIN[found]


@pytest.mark.parametrize("name", ["exif", "xmp", "both"])
def test_a_webp_without_its_metadata_no_longer_announces_it(name: str) -> None:
    kept = stripped(WEBP_SECRETS[name], WEBP)

    assert (kept[12:16], kept[20] & 0b1100) == (b"VP8X", 0)


def test_a_webps_length_is_set_right() -> None:
    kept = stripped(WEBP_SECRETS["both"], WEBP)

    assert int.from_bytes(kept[4:8], "little") == len(kept) - 8


def test_a_metadata_chunk_of_odd_length_leaves_no_padding_behind() -> None:
    odd, even = (stripped(WEBP_SECRETS[name], WEBP) for name in ("xmp of odd length", "xmp"))

    assert odd == even


# ---- what stays because it bears on the pixels


@pytest.mark.parametrize(
    ("marker", "payload"),
    [
        (0xE2, b"ICC_PROFILE\x00\x01\x01" + WIDE_GAMUT),
        (0xE2, b"ICC_PROFILE\x00\x01\x01" + WIDE_GAMUT + b"sRGB-elle-V2-g10"),
        (0xEE, b"Adobe\x00\x64\x00\x00\x00\x00\x01"),
    ],
    ids=["a profile other than sRGB", "a linear sRGB", "Adobe's transform flag"],
)
def test_a_jpeg_keeps_what_its_colours_hang_on(marker: int, payload: bytes) -> None:
    data = with_segment(PLAIN_JPEG, marker, payload)

    assert strip_metadata(data, JPEG) is data


def test_a_jpeg_loses_an_srgb_profile() -> None:
    data = saved(PICTURE, "JPEG", quality=90, icc_profile=b"\x00" * 16 + b"RGB sRGB IEC61966-2.1")

    assert stripped(data, JPEG) == PLAIN_JPEG


def test_a_jpeg_keeps_the_whole_of_a_long_profile() -> None:
    data = saved(PICTURE, "JPEG", icc_profile=WIDE_GAMUT + bytes(100_000))

    assert opened(stripped(data, JPEG)).info["icc_profile"] == WIDE_GAMUT + bytes(100_000)


def test_a_jpeg_loses_the_whole_of_a_long_srgb_profile() -> None:
    data = saved(PICTURE, "JPEG", quality=90, icc_profile=b"\x00" * 16 + b"RGB sRGB IEC61966-2.1" + bytes(100_000))

    assert stripped(data, JPEG) == PLAIN_JPEG


def test_rgb_stored_without_transform_keeps_its_colours() -> None:
    data = saved(PICTURE, "JPEG", keep_rgb=True, exif=exif(1))

    assert decoded(stripped(data, JPEG)) == decoded(data)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (b"iCCP", b"wide\x00\x00x\x9c\x03\x00\x00\x00\x00\x01"),
        (b"gAMA", b"\x00\x00\xb1\x8f"),
        (b"sRGB", b"\x00"),
        (b"cICP", b"\x0c\x0d\x00\x01"),
        (b"tRNS", b"\x00\x05"),
    ],
)
def test_a_png_keeps_what_its_pixels_hang_on(name: bytes, body: bytes) -> None:
    data = png((1, 1), b"\x00\x80", before=chunk(name, body))

    assert strip_metadata(data, PNG) is data


def test_a_png_keeps_its_palette_and_its_transparency() -> None:
    palette = chunk(b"PLTE", bytes((255, 0, 0, 0, 0, 255))) + chunk(b"tRNS", b"\xff\x00")
    data = png((2, 1), b"\x00\x00\x01", colour_type=3, before=palette + chunk(b"tEXt", b"a\x00b"))

    kept = opened(stripped(data, PNG)).convert("RGBA")

    assert kept.tobytes() == bytes((255, 0, 0, 255, 0, 0, 255, 0))


def test_a_webp_keeps_its_profile_and_alpha() -> None:
    image, profile = PICTURE.convert("RGBA"), srgb_profile()
    image.putalpha(scaled(Image.linear_gradient("L"), image.size))
    data = saved(image, "WEBP", lossless=True, icc_profile=profile, exif=exif(1))

    kept = opened(stripped(data, WEBP))

    assert (kept.tobytes(), kept.info["icc_profile"]) == (image.tobytes(), profile)


def test_a_gif_keeps_its_transparent_colour() -> None:
    control = b"!\xf9\x04\x01\x00\x00\x00\x00"
    data = gif((1, 1), gif_frame(0, 0), extensions=b"!\xfe\x01x\x00" + control)

    assert stripped(data, GIF) == gif((1, 1), gif_frame(0, 0), extensions=control)


# ---- the structure of JPEG


def test_a_progressive_jpeg_keeps_every_scan() -> None:
    data = saved(PICTURE, "JPEG", progressive=True, exif=exif(1))
    scans = data.count(b"\xff\xda")

    kept = stripped(data, JPEG)

    assert (kept.count(b"\xff\xda"), scans > 5, decoded(kept)) == (scans, True, decoded(data))


def test_restart_markers_are_part_of_the_scan() -> None:
    data = saved(PICTURE, "JPEG", restart_marker_blocks=2, exif=exif(1))

    assert b"\xff\xd0" in data
    assert decoded(stripped(data, JPEG)) == decoded(data)


def test_fill_bytes_before_a_marker_are_no_fault() -> None:
    data = PLAIN_JPEG[:2] + b"\xff\xff\xff" + segment(0xFE, b"comment") + b"\xff\xff" + PLAIN_JPEG[2:]

    assert stripped(data, JPEG) == PLAIN_JPEG


def test_metadata_between_two_scans_leaves_too() -> None:
    data = saved(PICTURE, "JPEG", progressive=True)
    second_scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)

    assert stripped(data[:second_scan] + segment(0xFE, b"SECRET") + data[second_scan:], JPEG) == data


def test_an_end_marker_inside_a_segment_is_not_the_end() -> None:
    assert stripped(with_segment(PLAIN_JPEG, 0xE1, b"Exif\x00\x00\xff\xd9\xff\xda"), JPEG) == PLAIN_JPEG


def test_the_second_picture_of_an_mpo_is_cut_off() -> None:
    buffer = BytesIO()
    PICTURE.save(buffer, "MPO", save_all=True, append_images=[photo(40, 30)])

    kept = stripped(buffer.getvalue(), JPEG)

    assert (opened(buffer.getvalue()).format, opened(kept).format) == ("MPO", "JPEG")
    assert kept.count(b"\xff\xd9") == 1


def test_a_jfif_thumbnail_leaves() -> None:
    after_jfif = 4 + int.from_bytes(PLAIN_JPEG[4:6], "big")
    jfxx = segment(0xE0, b"JFXX\x00\x13\x01\x01SECRET")

    assert stripped(PLAIN_JPEG[:after_jfif] + jfxx + PLAIN_JPEG[after_jfif:], JPEG) == PLAIN_JPEG


def test_an_unknown_chunk_of_a_webp_leaves() -> None:
    data = webp_with(saved(PICTURE, "WEBP", lossless=True, exif=exif(1)), (b"GPSX", b"SECRET"))

    assert b"SECRET" not in stripped(data, WEBP)


# ---- animation


def test_an_animated_png_loses_all_but_its_default_picture() -> None:
    buffer = BytesIO()
    photo(40, 30).save(buffer, "PNG", save_all=True, append_images=[Image.new("RGB", (40, 30), "red")])

    kept = opened(stripped(buffer.getvalue(), PNG))

    assert (getattr(kept, "n_frames", 0), kept.tobytes()) == (1, opened(buffer.getvalue()).tobytes())


# ---- files that are not what they promise


def test_a_png_with_a_wrong_checksum_is_not_kept() -> None:
    at = PLAIN_PNG.index(b"IDAT") + 10

    assert strip_metadata(PLAIN_PNG[:at] + bytes((PLAIN_PNG[at] ^ 1,)) + PLAIN_PNG[at + 1 :], PNG) is None


@pytest.mark.parametrize("found", [JPEG, PNG, WEBP, GIF])
@pytest.mark.parametrize("missing", [1, 2, 3, 12, 100])
def test_a_file_cut_short_is_not_kept(found: Format, missing: int) -> None:
    assert strip_metadata(PLAIN[found][:-missing], found) is None


@given(st.sampled_from([JPEG, PNG, WEBP, GIF]), st.floats(0, 1))
def test_a_file_cut_anywhere_is_not_kept_and_raises_nothing(found: Format, share: float) -> None:
    data = PLAIN[found]

    assert strip_metadata(data[: int(len(data) * share * 0.999)], found) is None


@given(st.sampled_from([JPEG, PNG, WEBP, GIF]), st.integers(8, 2000), st.binary(min_size=1, max_size=4))
def test_bytes_written_over_a_file_raise_nothing(found: Format, at: int, rubbish: bytes) -> None:
    data = PLAIN[found]

    kept = strip_metadata(data[:at] + rubbish + data[at + len(rubbish) :], found)

    assert kept is None or len(kept) <= len(data) + 1


@given(st.sampled_from([JPEG, PNG, WEBP, GIF]), st.binary(max_size=400))
def test_rubbish_after_a_signature_raises_nothing(found: Format, rubbish: bytes) -> None:
    kept = strip_metadata(PLAIN[found][:13] + rubbish, found)

    assert kept is None or len(kept) <= 13 + len(rubbish) + 1


@pytest.mark.parametrize(
    ("found", "data"),
    [
        (JPEG, PLAIN_JPEG[:2] + b"junk" + PLAIN_JPEG[2:]),
        (PNG, PLAIN_PNG[:8]),
        (GIF, gif((1, 1), b"?", gif_frame(0, 0))),
        (WEBP, PLAIN_WEBP[:4] + b"\xff\xff\xff\x7f" + PLAIN_WEBP[8:]),
    ],
    ids=[
        "JPEG with junk between segments",
        "PNG without chunks",
        "GIF with an unknown block",
        "WebP longer than it is",
    ],
)
def test_a_broken_structure_is_not_kept(found: Format, data: bytes) -> None:
    assert strip_metadata(data, found) is None


def test_a_png_without_pixels_is_not_kept() -> None:
    at = PLAIN_PNG.index(b"IDAT") - 4

    assert strip_metadata(PLAIN_PNG[:at] + chunk(b"IEND", b""), PNG) is None


def test_pillow_still_refuses_truncated_files() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
