"""Tall pages: with `tiles` cut into parts at their own size, without it a warning that says what is lost."""

import base64
import json
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from typing import Any
from zipfile import ZipFile

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.domain import Size
from app.imaging.tiles import tile_grid
from app.imaging.tokens import Bounds
from tests.conftest import saved

Maker = Callable[..., bytes]
STANDARD = Bounds(1568, 1568, 1999)
HIGH = Bounds(2576, 4784, 1999)


@given(st.integers(1, 30_000), st.integers(1, 30_000), st.sampled_from([STANDARD, HIGH, Bounds(1568, 400, 1999)]))
def test_parts_fit_at_their_own_size_and_leave_nothing_out(width: int, height: int, bounds: Bounds) -> None:
    boxes = list(tile_grid(Size(width, height), bounds).boxes())

    assert all(bounds.admit(box.size) for box in boxes)
    assert all(min(box) >= 0 and box.right_px <= width and box.bottom_px <= height for box in boxes)
    for edges in ({(box.left_px, box.right_px) for box in boxes}, {(box.top_px, box.bottom_px) for box in boxes}):
        ordered = sorted(edges)
        assert ordered[0][0] == 0
        assert all(after[0] < before[1] for before, after in pairwise(ordered))
    assert (max(box.right_px for box in boxes), max(box.bottom_px for box in boxes)) == (width, height)


@pytest.mark.parametrize(
    ("size", "bounds", "parts", "first"),
    [
        (Size(1290, 9000), STANDARD, 11, Size(1290, 924)),
        (Size(1290, 9000), HIGH, 5, Size(1290, 1999)),
        (Size(9000, 1290), STANDARD, 11, Size(924, 1290)),
        (Size(1500, 20_000), STANDARD, 28, Size(1500, 812)),
        (Size(800, 2912), STANDARD, 2, Size(800, 1512)),
        (Size(800, 2913), STANDARD, 3, Size(800, 1512)),
        (Size(2000, 9000), STANDARD, 20, Size(1092, 1092)),
        (Size(1000, 1000), STANDARD, 1, Size(1000, 1000)),
    ],
)
def test_how_a_picture_is_cut(size: Size, bounds: Bounds, parts: int, first: Size) -> None:
    grid = tile_grid(size, bounds)

    assert (grid.count, grid.tile) == (parts, first)


def scroll(height: int, **options: object) -> bytes:
    """400 px wide; every line's grey tells how far down it is."""
    column = Image.linear_gradient("L").resize((1, height), Image.Resampling.BILINEAR)  # pyright: ignore[reportUnknownMemberType] - Pillow's stub
    return saved(column.resize((400, height)).convert("RGB"), "PNG", **options)  # pyright: ignore[reportUnknownMemberType] - as above


def cut(service: httpx2.Client, data: bytes, **fields: str) -> tuple[list[Image.Image], list[dict[str, Any]]]:
    """The parts of a picture, and their reports."""
    fields = {"model": "claude-haiku-4-5", "tiles": "true", **fields}
    response = service.post("/v1/normalize", files={"image": ("scroll.png", data)}, data=fields)
    assert response.status_code == 200, response.text
    with ZipFile(BytesIO(response.content)) as archive:
        files = [archive.read(name) for name in archive.namelist()[:-1]]
        reports = json.loads(archive.read("report.json"))["images"]
    return [Image.open(BytesIO(file)).convert("L") for file in files], reports


def test_every_part_holds_the_pixels_of_its_place(service: httpx2.Client) -> None:
    data = scroll(5000)
    whole = Image.open(BytesIO(data)).convert("L")

    parts, reports = cut(service, data)

    for part, report in zip(parts, reports, strict=True):
        tile = report["tile"]
        box = (tile["x_px"], tile["y_px"], tile["x_px"] + tile["width_px"], tile["y_px"] + tile["height_px"])
        assert part.tobytes() == whole.crop(box).tobytes()
        assert (report["scale_x"], report["scale_y"], part.size) == (1, 1, (tile["width_px"], tile["height_px"]))


def test_parts_are_cut_from_the_upright_picture(service: httpx2.Client) -> None:
    """Stored lying on its side, 6000 wide; upright it is 6000 tall and gets lighter downwards."""
    upright = Image.open(BytesIO(scroll(6000)))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = saved(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)

    parts, reports = cut(service, lying)

    assert [report["tile"]["y_px"] for report in reports] == sorted(report["tile"]["y_px"] for report in reports)
    assert parts[0].getpixel((200, 10)) < 5  # pyright: ignore[reportOperatorIssue, reportOptionalOperand] - of one band
    assert parts[-1].getpixel((200, parts[-1].height - 10)) > 250  # pyright: ignore[reportOperatorIssue, reportOptionalOperand] - as above


def test_the_label_of_a_part_says_where_it_is(service: httpx2.Client) -> None:
    _, reports = cut(service, scroll(5000))

    assert [report["label"] for report in reports[:2]] == [
        "Image 1 (part 1 of 4, top left corner at x=0, y=0 of the whole)",
        "Image 2 (part 2 of 4, top left corner at x=0, y=1144 of the whole)",
    ]


def test_a_long_picture_that_is_not_cut_says_what_is_lost(service: httpx2.Client) -> None:
    response = service.post(
        "/v1/estimate", files={"image": ("scroll.png", scroll(5000))}, data={"model": "claude-haiku-4-5"}
    )

    [warning] = [warning for warning in response.json()["images"][0]["warnings"] if warning["code"] == "extreme_aspect"]
    assert warning["message"] == (
        "400x5000 px is longer than 4:1 and was scaled down 3.2 times to fit; "
        "tiles=true cuts it into parts that keep their detail"
    )


@pytest.mark.parametrize("size", [(1600, 400), (300, 1300), (2000, 2000)])
def test_what_is_not_long_or_fits_stays_whole(service: httpx2.Client, photo: Maker, size: tuple[int, int]) -> None:
    response = service.post("/v1/estimate", files={"image": photo(*size)}, data={"tiles": "true"})

    assert [image.get("tile") for image in response.json()["images"]] == [None]


def test_more_than_20_parts_keep_the_rule_of_many_images(service: httpx2.Client) -> None:
    picture = saved(Image.new("L", (1200, 28_000), 200), "PNG")
    images = [{"data": base64.b64encode(picture).decode()}]

    answer = service.post("/v1/analyze", json={"images": images, "tiles": True, "model": "claude-haiku-4-5"})

    assert answer.status_code == 200
    assert len(answer.json()["images"]) > 20


def test_more_parts_than_the_model_takes_are_refused_before_they_are_made(service: httpx2.Client) -> None:
    picture = saved(Image.new("L", (2000, 20_000), 200), "PNG")
    fields = {"tiles": "true", "max_image_tokens": "1", "model": "claude-haiku-4-5"}

    error = service.post("/v1/analyze", files={"image": ("long.png", picture)}, data=fields).json()["error"]

    assert error["details"]["error_code"] == "too_many_images"
    assert error["message"].startswith("image 1 (long.png): 2000x20000 px would be cut into ")


def test_a_picture_that_cannot_be_cut_is_named(service: httpx2.Client, photo: Maker) -> None:
    files = [("image", ("ok.jpg", photo(64, 48))), ("image", ("bad.png", b"8BPS...."))]
    response = service.post("/v1/analyze", files=files, data={"tiles": "true"})

    assert response.json()["error"]["message"].startswith("image 2 (bad.png): a Photoshop document")
