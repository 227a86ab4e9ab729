"""Every real picture of the corpus: made into what Claude accepts, or refused by a code that fits."""

from pathlib import Path

import pytest

from app.catalog import load_catalog
from app.errors import ErrorCode, ImageError
from app.imaging.formats import GIF, JPEG, PNG, WEBP
from app.imaging.plan import MAX_IMAGE_BYTES, bounds_for, plan_image
from app.imaging.probe import probe
from app.imaging.render import prepare
from app.imaging.strip import strip_metadata
from tests.imaging.pictures import LIMITS, decoded, facts_of, opened

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
FILES = sorted(
    path.relative_to(CORPUS).as_posix()
    for path in CORPUS.glob("*/*")
    if path.suffix != ".txt" and not path.name.startswith("LICENSE")
)
BOUNDS = bounds_for(load_catalog().find("claude-haiku-4-5"), "auto", None, 1)
SENT = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP"}

REFUSED = {
    "heif/corrupted.heic": "image_undecodable",
    "heif/corrupted.hif": "image_undecodable",
    "heif/empty.heic": "empty_image",
    "hostile/16383x16383.png": "image_too_many_pixels",
    "hostile/BlueSquare_truncated.jpg": "image_undecodable",
    "hostile/Commons-logo.svg": "unsupported_format",
    "hostile/broken.png": "image_undecodable",
    "hostile/crash-63b1dffefc8c075ddc606c0a2f5fdc15ece78863.tif": "image_undecodable",
    "hostile/decompression_bomb.gif": "image_too_many_pixels",
    "hostile/decompression_bomb.ico": "image_too_many_pixels",
    "hostile/expected_to_read.jp2": "image_undecodable",
    "hostile/image_invalid.jpg": "unsupported_format",
    "hostile/libtiff_segfault.tif": "image_undecodable",
    "hostile/png_decompression_dos.png": "image_undecodable",
    "hostile/reallybig.bmp": "image_too_many_pixels",
    "hostile/seek_too_large.tif": "image_undecodable",
    "hostile/truncated_jpeg.jpg": "image_undecodable",
    "hostile/unknown_compression_method.png": "image_undecodable",
    "hostile/zero_width.gif": "image_undecodable",
    "jpeg/monkey12.jpg": "image_undecodable",
    "mixed/940x2.png": "image_too_many_pixels",
    "mixed/crash-0c7e0e8e11ce787078f00b5b0ca409a167f070e0.tif": "image_undecodable",
    "mixed/crash-1152ec2d1a1a71395b6f2ce6721c38924d025bf3.tif": "image_undecodable",
    "mixed/crash-1185209cf7655b5aed8ae5e77784dfdd18ab59e9.tif": "image_undecodable",
    "mixed/crash-338516dbd2f0e83caddb8ce256c22db3bd6dc40f.tif": "image_undecodable",
    "mixed/crash-4f085cc12ece8cde18758d42608bed6a2a2cfb1c.tif": "image_undecodable",
    "mixed/crash-63b1dffefc8c075ddc606c0a2f5fdc15ece78863.tif": "image_undecodable",
    "mixed/hopper_webp.tif": "image_undecodable",
    "mixed/libtiff_segfault.tif": "image_undecodable",
    "png/xc1n0g08.png": "image_undecodable",
    "png/xc9n2c08.png": "image_undecodable",
    "png/xcrn0g04.png": "unsupported_format",
    "png/xd0n2c08.png": "image_undecodable",
    "png/xd3n2c08.png": "image_undecodable",
    "png/xd9n2c08.png": "image_undecodable",
    "png/xdtn0g01.png": "image_undecodable",
    "png/xhdn0g08.png": "image_undecodable",
    "png/xlfn0g04.png": "unsupported_format",
    "png/xs1n0g01.png": "unsupported_format",
    "png/xs2n0g01.png": "unsupported_format",
    "png/xs4n0g01.png": "unsupported_format",
    "png/xs7n0g01.png": "unsupported_format",
}
"""Everything that is refused, and by which code; every other file must be taken."""

SIGNATURES = {b"\xff\xd8\xff": JPEG, b"\x89PN": PNG, b"GIF": GIF, b"RIF": WEBP}
MALFORMED = {
    "hostile/BlueSquare_truncated.jpg",
    "hostile/broken.png",
    "hostile/truncated_jpeg.jpg",
    "mixed/truncated_app14.jpg",
    "png/xcsn0g01.png",
    "png/xhdn0g08.png",
}
TOO_HEAVY = {"photos/huge-9643x10328.jpg"}
"""100 megapixels, decoded twice, would take a gigabyte in each worker."""

STRIPPED = [
    name
    for name in FILES
    if (CORPUS / name).read_bytes()[:3] in SIGNATURES and name not in REFUSED.keys() | MALFORMED | TOO_HEAVY
]

pytestmark = pytest.mark.skipif(not FILES, reason="the corpus of real pictures is not beside this checkout")


def test_every_refusal_is_of_a_file_that_is_there() -> None:
    assert set(REFUSED) <= set(FILES)


@pytest.mark.parametrize("name", sorted(set(FILES) - set(REFUSED)))
def test_a_real_picture_becomes_what_claude_accepts(name: str) -> None:
    data = (CORPUS / name).read_bytes()
    facts = probe(data, LIMITS)
    plan = plan_image(facts, len(data), BOUNDS)

    image = prepare(data, facts, plan)

    picture = opened(image.data)
    assert (picture.format, picture.size, image.size) == (SENT[image.media_type], plan.target, plan.target)
    assert len(image.data) <= MAX_IMAGE_BYTES


@pytest.mark.parametrize("name", sorted(set(FILES) & set(REFUSED)))
def test_a_file_that_is_no_picture_is_refused_by_its_code(name: str) -> None:
    data = (CORPUS / name).read_bytes()

    with pytest.raises(ImageError) as caught:
        prepare(data, facts := probe(data, LIMITS), plan_image(facts, len(data), BOUNDS))

    assert caught.value.code is ErrorCode(REFUSED[name])


@pytest.mark.parametrize("name", STRIPPED)
def test_a_stripped_file_has_the_same_pixels(name: str) -> None:
    data = (CORPUS / name).read_bytes()

    kept = strip_metadata(data, SIGNATURES[data[:3]])

    assert kept is not None
    assert decoded(kept) == decoded(data)


@pytest.mark.parametrize("name", sorted(MALFORMED & set(FILES)))
def test_a_malformed_file_is_not_stripped(name: str) -> None:
    data = (CORPUS / name).read_bytes()

    assert strip_metadata(data, SIGNATURES[data[:3]]) is None


@pytest.mark.parametrize("name", sorted(name for name in set(FILES) - set(REFUSED) if name.startswith("orientation/")))
def test_a_photo_in_any_orientation_is_as_wide_as_its_name_says(name: str) -> None:
    size = facts_of((CORPUS / name).read_bytes()).size

    assert size == ((1800, 1200) if "Landscape" in name else (1200, 1800))
