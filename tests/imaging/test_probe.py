"""What a file is, by its bytes alone, and what is refused before a pixel is read."""

import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.domain import Size
from app.errors import ErrorCode, ImageError
from app.imaging.formats import (
    AVIF,
    BMP,
    CUR,
    DIB,
    GIF,
    HEIF,
    ICO,
    JPEG,
    JPEG2000,
    PNG,
    TIFF,
    WEBP,
    Format,
    describe_unreadable,
    sniff,
)
from app.imaging.limits import SourceLimits
from app.imaging.probe import ImageFacts, probe
from tests.imaging.pictures import (
    LIMITS,
    blank_png,
    chunk,
    corners,
    exif,
    facts_of,
    gif,
    gif_frame,
    ico,
    photo,
    png,
    saved,
    screen,
    segment,
    tiff_pages,
)

ACCEPTED = "JPEG, PNG, GIF, WebP, HEIC/HEIF, AVIF, TIFF, BMP, ICO or JPEG 2000"
TOO_LARGE_HINT = "crop the picture or scale it down before sending it"


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    """An ISO media file's first box."""
    return (16 + 4 * len(compatible)).to_bytes(4, "big") + b"ftyp" + major + bytes(4) + b"".join(compatible)


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are that many."""
    data = saved(corners(), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last_scan * (count - data.count(b"\xff\xda")) + data[-2:]


def refusal(data: bytes, limits: SourceLimits = LIMITS) -> ImageError:
    with pytest.raises(ImageError) as caught:
        probe(data, limits)
    return caught.value


# ---- sniffing


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"\xff\xd8\xff\xe0", JPEG),
        (b"\x89PNG\r\n\x1a\n", PNG),
        (b"GIF87a", GIF),
        (b"GIF89a", GIF),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", WEBP),
        (b"II*\x00", TIFF),
        (b"MM\x00*", TIFF),
        (b"II+\x00", TIFF),
        (b"MM\x00+", TIFF),
        (b"BM", BMP),
        (b"\x00\x00\x01\x00", ICO),
        (b"\x00\x00\x02\x00", CUR),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", JPEG2000),
        (b"\xff\x4f\xff\x51", JPEG2000),
        (b"\x28\x00\x00\x00" + bytes(8) + b"\x01\x00", DIB),
        (b"\x0c\x00\x00\x00\x01\x00\x01\x00\x01\x00", DIB),
        (b"\x7c\x00\x00\x00" + bytes(8) + b"\x01\x00", DIB),
        (ftyp(b"heic", b"mif1"), HEIF),
        (ftyp(b"heix"), HEIF),
        (ftyp(b"hevc"), HEIF),
        (ftyp(b"mif1", b"heic"), HEIF),
        (ftyp(b"msf1", b"hevc"), HEIF),
        (ftyp(b"mif1"), HEIF),
        (ftyp(b"avif"), AVIF),
        (ftyp(b"avis", b"msf1"), AVIF),
        (ftyp(b"mif1", b"miaf", b"avif"), AVIF),
        (ftyp(b"heic", b"avif"), HEIF),
    ],
)
def test_a_format_is_known_by_its_first_bytes(head: bytes, found: Format) -> None:
    assert sniff(head + bytes(32)) == found


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xd8",
        b"\x89PNG",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"\x28\x00\x00\x00" + bytes(8) + b"\x02\x00",
        b"\x29\x00\x00\x00" + bytes(8) + b"\x01\x00",
        ftyp(b"isom", b"mp42"),
        ftyp(b"crx "),
    ],
)
def test_anything_else_is_no_format(head: bytes) -> None:
    assert sniff(head) is None


def test_a_brand_beyond_the_first_box_does_not_count() -> None:
    assert sniff(ftyp(b"isom", b"mp42") + b"heic") is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "ICO", "JPEG2000", "AVIF"])
def test_a_file_opens_as_what_it_was_saved_as(kind: str) -> None:
    facts = facts_of(saved(corners(64, 64), kind))

    assert (facts.format.decoder, facts.size) == (kind, (64, 64))


@given(st.binary(max_size=300))
def test_any_bytes_are_described_or_refused_by_name(data: bytes) -> None:
    assert refusal(data).code in {
        ErrorCode.EMPTY_IMAGE,
        ErrorCode.UNSUPPORTED_FORMAT,
        ErrorCode.IMAGE_UNDECODABLE,
        ErrorCode.IMAGE_TOO_MANY_PIXELS,
    }


@given(
    st.sampled_from(
        [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\x00", b"BM", ftyp(b"heic"), ftyp(b"avif")]
    ),
    st.binary(max_size=300),
)
def test_rubbish_after_a_signature_is_refused_by_name(signature: bytes, rubbish: bytes) -> None:
    try:
        facts = probe(signature + rubbish, LIMITS)
    except ImageError as error:
        assert error.code in {ErrorCode.IMAGE_UNDECODABLE, ErrorCode.IMAGE_TOO_MANY_PIXELS}  # noqa: PT017 - may also pass
    else:
        assert facts.size.pixels > 0


# ---- refusals of what is no picture


def test_an_empty_file_is_refused() -> None:
    error = refusal(b"")

    assert (error.code, error.message, error.details) == (
        ErrorCode.EMPTY_IMAGE,
        "the file is empty (0 bytes)",
        {"actual": 0},
    )


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?><!-- x --><svg/>", "an SVG drawing"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"  <HTML>", "a web page"),
        (ftyp(b"isom", b"mp42"), "a video"),
        (b"\x1aE\xdf\xa3", "a video"),
        (b"\xff\x0a\x00", "a JPEG XL picture"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"8BPS\x00\x01", "a Photoshop document"),
        (b"%!PS-Adobe", "a PostScript file"),
        (b"\xc5\xd0\xd3\xc6", "an EPS file"),
        (b"\xd7\xcd\xc6\x9a", "a WMF drawing"),
        (b"DDS \x7c", "a DDS texture"),
        (b"SIMPLE  =", "a FITS file"),
        (b"PK\x03\x04", "a ZIP archive or an office document"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b'{"image": 1}', "a JSON text"),
        (b"\x00", "an unknown kind of file"),
        (b"P6 1 1 255 ", "an unknown kind of file"),
    ],
)
def test_what_is_no_picture_of_ours_is_named(head: bytes, kind: str) -> None:
    error = refusal(head)

    assert describe_unreadable(head) == kind
    assert (error.code, error.message, error.details) == (
        ErrorCode.UNSUPPORTED_FORMAT,
        f"{kind}; send {ACCEPTED}",
        {"actual": kind, "hint": "open it in an image editor and save it as JPEG or PNG"},
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xd8\xff\xe0" + bytes(20), "the image/jpeg file is broken: JPEG data that cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "the image/png file is broken: PNG data that cannot be read"),
        (ftyp(b"heic"), "the image/heic file is broken: HEIF data that cannot be read"),
        (b"II*\x00\x08\x00\x00\x00", "the image/tiff file is broken: TIFF data that cannot be read"),
    ],
)
def test_a_broken_header_is_refused_without_the_decoders_words(data: bytes, message: str) -> None:
    error = refusal(data)

    assert (error.code, error.message) == (ErrorCode.IMAGE_UNDECODABLE, message)


def test_an_eps_inside_another_signature_is_not_opened() -> None:
    program = "from app.imaging import probe; import sys; print(any('Eps' in name for name in sys.modules))"

    answer = subprocess.run(  # noqa: S603 - this interpreter, our own program
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    assert answer.stdout == "False\n"


# ---- refusals of what is too large


@pytest.mark.parametrize(
    ("data", "message", "actual", "limit"),
    [
        (
            blank_png(10_001, 10_000),
            "10001x10000 px is 100.01 megapixels; the limit is 100",
            100_010_000,
            100_000_000,
        ),
        (
            blank_png(30_001, 200),
            "the longer side of 30001x200 px is over 30000 px, the limit",
            30_001,
            30_000,
        ),
        (
            blank_png(200, 30_001),
            "the longer side of 200x30001 px is over 30000 px, the limit",
            30_001,
            30_000,
        ),
        (blank_png(10, 2010), "the longer side of 10x2010 px is over 200 times the shorter, the limit", 201, 200),
        (tiff_pages(5001), "more than 5000 frames, the limit", 5001, 5000),
        (with_scans(101), "101 JPEG scans; the limit is 100", 101, 100),
    ],
    ids=["pixels", "width", "height", "aspect", "frames", "scans"],
)
def test_what_is_over_a_limit_is_refused_with_both_figures(data: bytes, message: str, actual: int, limit: int) -> None:
    error = refusal(data)

    assert (error.code, error.message, error.details) == (
        ErrorCode.IMAGE_TOO_MANY_PIXELS,
        message,
        {"actual": actual, "limit": limit, "hint": TOO_LARGE_HINT},
    )


@pytest.mark.parametrize(
    "data",
    [blank_png(10_000, 10_000), blank_png(30_000, 150), blank_png(10, 2000), tiff_pages(5000), with_scans(100)],
    ids=["pixels", "side", "aspect", "frames", "scans"],
)
def test_what_is_at_a_limit_is_taken(data: bytes) -> None:
    assert probe(data, LIMITS).size.pixels > 0


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (replace(LIMITS, max_pixels=2047), "64x32 px is 0.002048 megapixels; the limit is 0.002047"),
        (replace(LIMITS, max_side_px=63), "the longer side of 64x32 px is over 63 px, the limit"),
        (replace(LIMITS, max_aspect=1), "the longer side of 64x32 px is over 1 times the shorter, the limit"),
    ],
)
def test_a_limit_is_the_operators_to_set(limits: SourceLimits, message: str) -> None:
    assert refusal(saved(corners(), "PNG"), limits).message == message


PROBE_AND_WEIGH = """
import re, sys
from pathlib import Path
from app.errors import ImageError
from app.imaging.limits import SourceLimits
from app.imaging.probe import probe
data = Path(sys.argv[1]).read_bytes()
def peak_kib():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before_kib = peak_kib()
try:
    print(probe(data, SourceLimits()).size)
except ImageError as error:
    print(error.code, "light" if peak_kib() - before_kib < 100_000 else "heavy")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's")
@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(blank_png(20_000, 20_000), id="PNG"),
        pytest.param(
            gif((20_000, 20_000), gif_frame(0, 0, 20_000, 20_000), extensions=b"!\xf9\x04\x08\x00\x00\x00\x00"),
            id="GIF",
        ),
        pytest.param(ico(blank_png(20_000, 20_000)), id="ICO"),
        pytest.param(saved(Image.new("1", (20_000, 20_000)), "TIFF", compression="group4"), id="TIFF"),
    ],
)
def test_a_bomb_is_refused_before_its_pixels_take_memory(tmp_path: Path, bomb: bytes) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(bomb)

    answer = subprocess.run(  # noqa: S603 - this interpreter, our own program
        [sys.executable, "-c", PROBE_AND_WEIGH, str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    assert answer.stdout == "image_too_many_pixels light\n"


def test_counting_pages_stops_at_the_limit() -> None:
    beyond_the_end = 0x7FFFFFFF

    assert refusal(tiff_pages(5001, last_next=beyond_the_end)).code is ErrorCode.IMAGE_TOO_MANY_PIXELS


def test_what_follows_a_jpeg_has_no_scans() -> None:
    assert facts_of(saved(corners(), "JPEG") + b"\xff\xda" * 200).size == (64, 32)


# ---- facts


def test_the_facts_of_a_plain_jpeg() -> None:
    data = saved(corners(), "JPEG")

    assert facts_of(data) == ImageFacts(
        format=JPEG,
        stored=Size(64, 32),
        orientation=1,
        mode="RGB",
        frames=1,
        sha256=sha256(data).hexdigest(),
        coefficient_bytes=0,
        keyed=False,
        native=True,
        bare=True,
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_size_is_upright(kind: str, orientation: int) -> None:
    facts = facts_of(saved(corners(), kind, exif=exif(orientation)))

    assert (facts.orientation, facts.stored, facts.size) == (
        orientation,
        (64, 32),
        (64, 32) if orientation < 5 else (32, 64),
    )


def test_an_orientation_after_the_pixels_counts() -> None:
    late = chunk(b"eXIf", exif(6).tobytes().removeprefix(b"Exif\x00\x00"))

    assert facts_of(png((2, 1), bytes(3), after=late)).size == (1, 2)


@pytest.mark.parametrize("place", [0, 8, 8 + 102, 1 << 31])
def test_the_pages_of_a_tiff_end_where_their_chain_ends_loops_or_leaves_the_file(place: int) -> None:
    assert facts_of(tiff_pages(3, last_next=place)).frames == 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_is_no_fault_of_the_picture(kind: str) -> None:
    rubbish = b"Exif\x00\x00" + bytes(range(60))

    assert facts_of(saved(corners(), kind, exif=rubbish)).orientation == 1


def test_a_broken_second_frame_is_no_fault_of_the_first() -> None:
    whole = gif((1, 1), gif_frame(0, 0), gif_frame(0, 0))

    assert facts_of(whole[: whole.rindex(b",") + 4]).size == (1, 1)


NATIVE = {
    "grey PNG": saved(photo(40, 30).convert("L"), "PNG"),
    "palette PNG": saved(photo(40, 30).quantize(16), "PNG"),
    "RGBA PNG": saved(photo(40, 30).convert("RGBA"), "PNG"),
    "interlaced PNG": saved(photo(40, 30), "PNG", interlace=1),
    "progressive JPEG": saved(photo(40, 30), "JPEG", progressive=True),
    "grey JPEG": saved(photo(40, 30).convert("L"), "JPEG"),
    "JPEG after fill bytes": b"\xff\xd8\xff\xff" + saved(photo(40, 30), "JPEG")[2:],
    "JPEG of two pictures": saved(photo(40, 30), "MPO", save_all=True, append_images=[photo(20, 20)]),
    "still GIF": saved(photo(40, 30).quantize(16), "GIF"),
    "lossless WebP": saved(photo(40, 30), "WEBP", lossless=True),
}
FOREIGN = {
    "16-bit PNG": png((1, 1), bytes(3), depth=16),
    "CMYK JPEG": saved(photo(40, 30).convert("CMYK"), "JPEG"),
    "arithmetic JPEG": saved(photo(40, 30), "JPEG").replace(b"\xff\xc0", b"\xff\xc9"),
    "animated GIF": saved(photo(40, 30), "GIF", save_all=True, append_images=[screen(40, 30)]),
    "animated WebP": saved(photo(40, 30), "WEBP", save_all=True, append_images=[screen(40, 30)]),
    "animated PNG": saved(photo(40, 30), "PNG", save_all=True, append_images=[screen(40, 30)]),
    "BMP": saved(photo(40, 30), "BMP"),
    "TIFF": saved(photo(40, 30), "TIFF"),
    "JPEG 2000": saved(photo(40, 30), "JPEG2000"),
}


@pytest.mark.parametrize("name", NATIVE)
def test_what_claude_can_read_is_native(name: str) -> None:
    assert facts_of(NATIVE[name]).native


@pytest.mark.parametrize("name", FOREIGN)
def test_what_claude_cannot_read_is_not_native(name: str) -> None:
    assert not facts_of(FOREIGN[name]).native


def test_an_arithmetic_jpeg_of_the_corpus_is_not_native(corpus: Path) -> None:
    assert not facts_of((corpus / "jpeg" / "testimgari.jpg").read_bytes()).native


@pytest.mark.parametrize(
    ("kind", "frames"), [("GIF", 3), ("WEBP", 3), ("PNG", 3), ("TIFF", 3), ("MPO", 3), ("AVIF", 3)]
)
def test_frames_are_counted(kind: str, frames: int) -> None:
    colours = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]

    assert facts_of(saved(colours[0], kind, save_all=True, append_images=colours[1:])).frames == frames


@pytest.mark.parametrize("payload", [b"Exif\x00\x00\xff\xc9", b"\xff\xc0\x00\x11\x0c"])
def test_a_frame_header_inside_metadata_is_not_the_pictures(payload: bytes) -> None:
    data = saved(corners(), "JPEG")

    assert facts_of(data[:2] + segment(0xE1, payload) + data[2:]).native
