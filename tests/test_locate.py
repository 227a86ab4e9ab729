"""POST /v1/locate: boxes in the pixels of the files that were uploaded, whatever happened to them on the way."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from app.domain import HIGH_TIER, STANDARD_TIER, DetailLevel, Model, Page, Part, Size, Tile, VisionTier
from app.imaging.plan import bounds_for
from app.imaging.tokens import seen_size, shrink_to_fit
from app.pipeline.coordinates import original_box
from app.pipeline.reports import FileFacts, ImageReport
from tests.conftest import StartService, Wire, saved
from tests.pdfs import pdf
from tests.test_streaming import events_of

Maker = Callable[..., bytes]

UPRIGHT = (1999, 1501)
DRAWN = (401, 173, 1207, 666)
"""A picture and the box that is drawn into it, right and bottom the first that are outside."""

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture is stored for each EXIF orientation."""


def marked(
    image_format: str, orientation: int = 1, size: tuple[int, int] = UPRIGHT, box: tuple[int, int, int, int] = DRAWN
) -> bytes:
    """A file that shows a magenta box at that place, once it is upright."""
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill="#ff00ff")
    turn = STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(picture if turn is None else picture.transpose(turn), image_format, exif=exif.tobytes())


def locate(service: httpx2.Client, *pictures: bytes, answer: object = None, **fields: str) -> httpx2.Response:
    """Where the target is; with an `answer` that is what the model says."""
    scripted = json.dumps({"objects": answer})
    headers = {} if answer is None else {"x-vision-proxy-sandbox-answer": "text=" + quote(scripted)}
    files = [("image", (f"{number}.bin", data)) for number, data in enumerate(pictures, start=1)]
    return service.post("/v1/locate", files=files, data={"target": "the box", **fields}, headers=headers)


def found(image: int, *box: float) -> dict[str, Any]:
    return {"label": "it", "image": image, "box": [*box]}


def near(box: Sequence[float], expected: Sequence[float], scale: float) -> bool:
    """Whether a box is where it was drawn, to a pixel that the model sees and the rounding of one of the original."""
    return all(abs(edge - drawn) <= scale + 0.5 for edge, drawn in zip(box, expected, strict=True))


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-haiku-4-5"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_a_box_is_found_where_it_was_drawn_however_the_file_is_turned(
    service: httpx2.Client, image_format: str, orientation: int, model: str
) -> None:
    answer = locate(service, marked(image_format, orientation), model=model).json()

    [image], [one] = answer["images"], answer["objects"]
    assert (image["original"]["width_px"], image["original"]["height_px"]) == UPRIGHT
    assert near(one["box"], DRAWN, image["scale_x"]), one
    assert one["image"] == 1


@pytest.mark.parametrize("image_format", ["HEIF", "AVIF", "WEBP", "PNG"])
def test_a_box_is_found_through_conversion_and_downscaling(service: httpx2.Client, image_format: str) -> None:
    size, box = (5003, 3001), (2999, 1234, 4321, 2345)

    answer = locate(service, marked(image_format, 1, size, box)).json()

    [image], [one] = answer["images"], answer["objects"]
    assert image["scale_x"] > 1.9
    assert near(one["box"], box, image["scale_x"]), one


@pytest.mark.parametrize("detail", ["auto", "low", "standard", "high"])
def test_a_box_is_found_at_every_level_of_detail(service: httpx2.Client, detail: str) -> None:
    answer = locate(service, marked("PNG"), detail=detail).json()

    assert near(answer["objects"][0]["box"], DRAWN, answer["images"][0]["scale_x"])


def test_the_vendor_is_told_to_refuse_what_it_would_scale_down(
    recorded: httpx2.Client, wire: Wire, photo: Maker
) -> None:
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(photo(64, 48)).decode()}
    earlier = [
        {"role": "user", "content": [{"type": "image", "source": source}]},
        {"role": "assistant", "content": "."},
    ]
    body = {"messages": earlier, "images": [{"data": source["data"]}], "target": "it"}

    recorded.post("/v1/locate", json=body).raise_for_status()

    blocks = [block for message in wire.last_request["messages"] for block in message["content"]]
    told = [block.get("transformations") for block in blocks if block != "." and block["type"] == "image"]
    assert told == [{"oversized_image": "error"}] * 2


def test_a_file_that_this_model_would_see_smaller_is_an_error_not_a_shift(service: httpx2.Client) -> None:
    uploaded = service.post("/v1/files", files={"file": ("a.png", marked("PNG"), "image/png")}).json()

    def asked(model: str) -> httpx2.Response:
        return service.post("/v1/locate", json={"file_id": uploaded["id"], "target": "it", "model": model})

    refused = asked("claude-haiku-4-5")
    assert near(asked("claude-sonnet-5-5").json()["objects"][0]["box"], DRAWN, 1)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == (
        "image 1 (a.png): the file is 1999x1501 px and claude-haiku-4-5 would see it at 1268x952 px, "
        "where no box could be told exactly"
    )
    assert "send the picture itself" in refused.json()["error"]["details"]["hint"]


@pytest.mark.parametrize("target", [" ", "\n\t"])
def test_a_target_of_nothing_is_refused(service: httpx2.Client, target: str) -> None:
    refused = locate(service, marked("PNG"), target=target)

    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "target: say what to find, such as every table"


def test_boxes_are_ordered_and_clamped_and_what_claude_gave_is_kept(service: httpx2.Client, photo: Maker) -> None:
    picture = photo(400, 300)

    answer = locate(service, picture, answer=[found(1, 90.4, 250, 10.6, -20), found(1, 350, 280, 999, 999)]).json()

    assert answer["objects"] == [
        {"label": "it", "image": 1, "box": [11, 0, 90, 250], "sent_box": [90.4, 250, 10.6, -20]},
        {"label": "it", "image": 1, "box": [350, 280, 400, 300], "sent_box": [350, 280, 999, 999]},
    ]
    assert answer["warnings"] == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (found(2, 1, 1, 9, 9), "there is no image 2"),
        (found(1, 5, 1, 5, 9), "[5, 1, 5, 9] is no box in image 1"),
        (found(1, 400, 0, 500, 9), "[400, 0, 500, 9] is no box in image 1"),
        (found(1, 1, 2, 3), "[1, 2, 3] is no box in image 1"),
        (found(1, 1, 2, 10**400, 4), "is no box in image 1"),
    ],
    ids=range(5),
)
def test_an_impossible_box_is_left_out_with_a_warning(
    service: httpx2.Client, photo: Maker, wrong: dict[str, Any], reason: str
) -> None:
    answer = locate(service, photo(400, 300), answer=[wrong, found(1, 1, 2, 3, 4)]).json()

    assert [one["box"] for one in answer["objects"]] == [[1, 2, 3, 4]]
    assert answer["warnings"][0]["code"] == "object_dropped"
    assert reason in answer["warnings"][0]["message"]


def test_each_object_names_its_picture_and_is_in_its_pixels(service: httpx2.Client) -> None:
    pictures = [marked("PNG"), marked("PNG", 1, (300, 200), (10, 20, 30, 40)), marked("JPEG", 6)]

    answer = locate(service, *pictures).json()

    assert [one["image"] for one in answer["objects"]] == [1, 2, 3]
    assert near(answer["objects"][0]["box"], DRAWN, answer["images"][0]["scale_x"])
    assert answer["objects"][1]["box"] == [10, 20, 30, 40]
    assert near(answer["objects"][2]["box"], DRAWN, answer["images"][2]["scale_x"])


def test_a_box_in_a_part_of_a_long_picture_is_in_pixels_of_the_whole(service: httpx2.Client) -> None:
    box = (100, 5_000, 300, 5_200)

    answer = locate(service, marked("PNG", 1, (1000, 6000), box), tiles="true").json()

    holding = [one for one in answer["objects"] if one["box"] == [*box]]
    assert len(answer["images"]) > 1
    assert holding
    assert all("tile" in answer["images"][one["image"] - 1] for one in holding)


def test_a_box_on_a_page_is_in_points_of_the_page(service: httpx2.Client) -> None:
    document = pdf(["page"], (600.0, 800.0))
    width_px = locate(service, document).json()["images"][0]["sent"]["width_px"]

    [one] = locate(service, document, answer=[found(1, 0, 0, width_px / 2, 10_000)]).json()["objects"]

    assert one["box"] == [0, 0, 300.0, 800.0]


def test_an_answer_that_is_none_is_an_error_with_its_cost(service: httpx2.Client, photo: Maker) -> None:
    refused = locate(service, photo(64, 48), answer="nowhere")

    details = refused.json()["error"]["details"]
    assert (refused.status_code, details["error_code"], details["place"]) == (422, "schema_mismatch", "$.objects")
    assert details["cost_usd"] > 0


def test_a_stream_ends_with_the_objects(service: httpx2.Client) -> None:
    events = events_of(locate(service, marked("PNG", 1, (300, 200), (10, 20, 30, 40)), stream="true").text)

    assert (events[0][0], events[-1][0]) == ("images", "done")
    assert events[-1][1]["objects"][0]["box"] == [10, 20, 30, 40]


def test_a_size_that_the_model_would_not_see_is_refused(service: httpx2.Client, photo: Maker) -> None:
    refused = locate(service, photo(64, 48), detail="original")

    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("detail: boxes need a picture of the size")
    assert refused.json()["error"]["details"]["field"] == "detail"


def test_pictures_that_the_vendor_fetches_are_refused(start_service: StartService) -> None:
    passing = start_service(url_images="passthrough")

    refused = passing.post("/v1/locate", json={"image_url": "https://example.com/a.png", "target": "it"})

    assert refused.status_code == 400
    assert "1 of 1 pictures are fetched by the vendor" in refused.json()["error"]["message"]


def report(original: Size, tier: VisionTier, detail: DetailLevel, part: Part | None = None) -> ImageReport:
    """What became of an upright picture of that size."""
    model = Model("m", tier, 1_000_000, 1, 600)
    whole = original if part is None or isinstance(part, Page) else part.size
    seen = seen_size(shrink_to_fit(whole, bounds_for(model, detail, None, 1)), tier)
    facts, sent = FileFacts("image/png", original, 1, ""), FileFacts("image/png", seen, 1, "")
    return ImageReport(1, None, None, "upload", facts, sent, seen, "base64", (), 1, (), part)


sizes = st.builds(Size, st.integers(1, 20_000), st.integers(1, 20_000))
tiers = st.sampled_from([STANDARD_TIER, HIGH_TIER])
details: st.SearchStrategy[DetailLevel] = st.sampled_from(["auto", "low", "standard", "high"])


@given(sizes, tiers, details, st.data())
def test_a_box_in_original_pixels_comes_back_as_it_was(
    size: Size, tier: VisionTier, detail: DetailLevel, data: st.DataObject
) -> None:
    told = report(size, tier, detail)
    columns = sorted(data.draw(st.lists(st.integers(0, size.width_px), min_size=2, max_size=2, unique=True)))
    lines = sorted(data.draw(st.lists(st.integers(0, size.height_px), min_size=2, max_size=2, unique=True)))
    box = (columns[0], lines[0], columns[1], lines[1])
    across, down = told.seen.width_px / size.width_px, told.seen.height_px / size.height_px

    sent = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
    back = original_box(sent, told)
    assert back == box

    rounded = original_box([round(edge) for edge in sent], told)
    if rounded is not None:
        slack = (0.5 / across, 0.5 / down) * 2
        assert all(abs(edge - drawn) <= step + 1 for edge, drawn, step in zip(rounded, box, slack, strict=True))


@given(sizes, tiers, st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
def test_a_box_is_in_the_picture_and_has_an_area(size: Size, tier: VisionTier, sent: list[float]) -> None:
    box = original_box(sent, report(size, tier, "auto"))

    if box is not None:
        assert 0 <= box.x1 < box.x2 <= size.width_px
        assert 0 <= box.y1 < box.y2 <= size.height_px


def test_a_box_in_a_part_is_moved_to_where_the_part_was_cut_out() -> None:
    part = Tile(2, 3, 0, 1_000, Size(1_000, 1_500))

    assert original_box((1, 2, 3, 4), report(Size(1_000, 4_000), HIGH_TIER, "auto", part)) == (1, 1_002, 3, 1_004)
