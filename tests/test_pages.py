"""A PDF becomes one picture a page, drawn at the size that Claude sees, with the way back to points."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import httpx2
import pytest
from PIL import Image

from tests.conftest import Wire
from tests.pdfs import RED_BOX_PT, pdf

Maker = Callable[..., bytes]


def normalized(service: httpx2.Client, document: bytes, **fields: str) -> tuple[Image.Image, dict[str, Any]]:
    """The one picture that comes of a document, and its report."""
    response = service.post("/v1/normalize", files={"image": ("report.pdf", document)}, data=fields)
    assert response.status_code == 200, response.text
    return Image.open(BytesIO(response.content)).convert("RGB"), json.loads(response.headers["x-vision-proxy-image"])


def analyzed(service: httpx2.Client, document: bytes, **fields: str) -> dict[str, Any]:
    response = service.post("/v1/analyze", files={"image": ("report.pdf", document)}, data=fields)
    assert response.status_code == 200, response.text
    return response.json()


def pages_of(answer: dict[str, Any]) -> list[int]:
    return [image["page"]["number"] for image in answer["images"]]


def red_box(picture: Image.Image) -> tuple[int, int, int, int]:
    red, green, _ = picture.split()
    found = Image.eval(red, lambda value: value > 200 and 255).convert("1")
    found.paste(0, mask=Image.eval(green, lambda value: value > 100 and 255).convert("1"))
    box = found.getbbox()
    assert box is not None
    return box


def test_each_page_is_a_picture_with_its_own_label(service: httpx2.Client) -> None:
    answer = analyzed(service, pdf(["one", "two", "three"]))

    assert [image["label"] for image in answer["images"]] == [
        "Image 1 (page 1 of 3 of report.pdf)",
        "Image 2 (page 2 of 3 of report.pdf)",
        "Image 3 (page 3 of 3 of report.pdf)",
    ]
    assert answer["images"][1]["page"] == {"number": 2, "count": 3, "width_pt": 595.28, "height_pt": 841.89}


@pytest.mark.parametrize(("model", "size"), [("claude-haiku-4-5", (924, 1307)), ("claude-sonnet-5-5", (1624, 2296))])
def test_a_page_is_drawn_at_the_size_that_the_model_sees(
    service: httpx2.Client, model: str, size: tuple[int, int]
) -> None:
    picture, report = normalized(service, pdf(["one"]), model=model)

    assert (picture.size, report["tokens"]) == (size, -(-size[0] // 28) * -(-size[1] // 28))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_place_in_the_picture_leads_back_to_points_of_the_page(service: httpx2.Client, rotation: int) -> None:
    """From the top left corner of the page as it is shown."""
    width_pt, height_pt = 595.28, 841.89
    left, bottom, right, top = RED_BOX_PT
    expected = {
        0: (left, height_pt - top, right, height_pt - bottom),
        90: (bottom, left, top, right),
        180: (width_pt - right, bottom, width_pt - left, top),
        270: (height_pt - top, width_pt - right, height_pt - bottom, width_pt - left),
    }[rotation]

    picture, report = normalized(service, pdf(["one"], entries=f"/Rotate {rotation}"))

    scales = (report["scale_x"], report["scale_y"]) * 2
    found = [place * scale for place, scale in zip(red_box(picture), scales, strict=True)]
    assert found == pytest.approx(expected, abs=0.75)


def test_every_page_shows_its_own_text(service: httpx2.Client) -> None:
    response = service.post("/v1/normalize", files={"image": ("a.pdf", pdf(["I", "MMMMMMMM"]))})

    with ZipFile(BytesIO(response.content)) as archive:
        names = archive.namelist()
        black = [sum(Image.open(BytesIO(archive.read(name))).convert("L").histogram()[:50]) for name in names[:2]]
    assert names == ["001-a.webp", "002-a.webp", "report.json"]
    assert black[1] > 4 * black[0]


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [("2", [2]), ("1-2,5", [1, 2, 5]), ("4-", [4, 5]), ("5,1", [5, 1]), ("1,1-2", [1, 2]), (" 3 - 9 ", [3, 4, 5])],
)
def test_pages_are_chosen(service: httpx2.Client, chosen: str, numbers: list[int]) -> None:
    assert pages_of(analyzed(service, pdf(list("abcde")), pages=chosen)) == numbers


def test_the_first_20_pages_are_sent_where_none_are_chosen_and_the_rest_is_told(service: httpx2.Client) -> None:
    answer = analyzed(service, pdf(["page"] * 21), detail="low")

    assert pages_of(answer) == list(range(1, 21))
    assert [warning["code"] for warning in answer["warnings"]] == ["pages_left_out"]
    assert answer["warnings"][0]["message"] == (
        "the first 20 of 21 pages of report.pdf were sent; choose others with pages=21-"
    )


def test_all_pages_of_a_document_of_20_are_sent_without_a_word(service: httpx2.Client) -> None:
    answer = analyzed(service, pdf(["page"] * 20), detail="low")

    assert (len(answer["images"]), answer["warnings"]) == (20, [])


@pytest.mark.parametrize("chosen", ["0", "6", "3-2", "7-"])
def test_a_page_that_is_not_there_is_refused_by_its_document(service: httpx2.Client, chosen: str) -> None:
    response = service.post("/v1/analyze", files={"image": ("report.pdf", pdf(list("abcde")))}, data={"pages": chosen})

    assert response.status_code == 400
    assert response.json()["error"]["message"] == (
        f"image 1 (report.pdf): pages={chosen} is not in the document, which has 5"
    )


@pytest.mark.parametrize("chosen", ["", "a", "1-2-3", "-3", "1,,2", "1;2"])
def test_pages_that_make_no_sense_are_refused_by_their_field(service: httpx2.Client, chosen: str) -> None:
    response = service.post("/v1/analyze", files={"image": ("a.pdf", pdf(["a"]))}, data={"pages": chosen})

    assert (response.status_code, response.json()["error"]["details"].get("field")) == (400, "pages")


def test_pages_without_a_document_are_refused(service: httpx2.Client, photo: Maker) -> None:
    response = service.post("/v1/analyze", files={"image": photo(64, 48)}, data={"pages": "1"})

    assert response.json()["error"]["message"] == "pages: none of the files is a PDF"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"%PDF-1.4\nnothing", "image 1 (report.pdf): the PDF is broken: it cannot be read"),
        (pdf([]), "image 1 (report.pdf): the PDF is broken: it cannot be read"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(service: httpx2.Client, document: bytes, message: str) -> None:
    response = service.post("/v1/analyze", files={"image": ("report.pdf", document)})

    error = response.json()["error"]
    assert (response.status_code, error["details"]["error_code"], error["message"]) == (
        400,
        "image_undecodable",
        message,
    )


def test_a_page_that_shows_nothing_is_refused_by_its_number(service: httpx2.Client) -> None:
    document = pdf(["one", "two"], entries="/CropBox [5000 5000 6000 6000]")

    error = service.post("/v1/estimate", files={"image": ("report.pdf", document)}).json()["error"]

    assert error["details"]["error_code"] == "image_undecodable"
    assert error["message"] == "image 1 (report.pdf): page 1 of 2 is broken or shows nothing"


def test_a_broken_page_stands_in_nobody_s_way_that_did_not_ask_for_it(service: httpx2.Client) -> None:
    document = pdf(["one", "two"]).replace(b"/Kids [4 0 R 6 0 R]", b"/Kids [4 0 R null ]")

    assert pages_of(analyzed(service, document, pages="1")) == [1]


def test_a_page_longer_than_200_to_1_is_refused(service: httpx2.Client) -> None:
    document = pdf(["one"], size_pt=(10, 2001))

    error = service.post("/v1/estimate", files={"image": ("report.pdf", document)}).json()["error"]

    assert error["message"] == (
        "image 1 (report.pdf): the longer side of page 1 of 1 is over 200 times the shorter, the limit"
    )


def test_a_page_that_had_to_be_drawn_small_says_so(service: httpx2.Client) -> None:
    answer = analyzed(service, pdf(["tiny"], size_pt=(600, 8000)))

    assert {warning["code"]: warning["message"] for warning in answer["images"][0]["warnings"]} == {
        "extreme_aspect": "the page of 600x8000 points is longer than 4:1 and was drawn at 193x2576 px; "
        "split it to keep its detail",
        "text_may_be_small": "the page was drawn at 0.3 px a point: text of 10 points is 3 px high",
    }


def test_the_report_of_normalize_says_which_pages_were_left_out(service: httpx2.Client) -> None:
    response = service.post("/v1/normalize", files={"image": ("a.pdf", pdf(["page"] * 21))}, data={"detail": "low"})

    with ZipFile(BytesIO(response.content)) as archive:
        report = json.loads(archive.read("report.json"))
    assert [warning["code"] for warning in report["warnings"]] == ["pages_left_out"]


def test_documents_and_pictures_keep_their_order(service: httpx2.Client, photo: Maker) -> None:
    files = [
        ("image", ("a.jpg", photo(64, 48))),
        ("image", ("b.pdf", pdf(["x", "y"]))),
        ("image", ("c.jpg", photo(64, 48))),
    ]
    answer = service.post("/v1/analyze", files=files).json()

    assert [(image["name"], image.get("page", {}).get("number")) for image in answer["images"]] == [
        ("a.jpg", None),
        ("b.pdf", 1),
        ("b.pdf", 2),
        ("c.jpg", None),
    ]


def test_a_document_block_of_the_drop_in_endpoint_passes_as_it_is(recorded: httpx2.Client, wire: Wire) -> None:
    block = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"},
    }
    body = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": [block]}]}

    recorded.post("/v1/messages", json=body)

    assert wire.last_request == body


def test_documents_count_with_the_pictures_of_a_request(service: httpx2.Client) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    content = [{"type": "image", "source": source}] * 60 + [text] * 41
    body = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}

    error = service.post("/v1/messages", json=body).json()["error"]

    assert error["details"]["error_code"] == "too_many_images"
    assert error["message"].startswith("60 images and 41 documents in the request")


def test_a_pdf_in_an_image_block_is_refused_with_the_way_out(service: httpx2.Client) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "JVBERi0xLjQK"}
    content = [{"type": "image", "source": source}]
    body = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}

    error = service.post("/v1/messages", json=body).json()["error"]

    assert error["details"]["error_code"] == "unsupported_format"
    assert "document block" in error["details"]["hint"]
