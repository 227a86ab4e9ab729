"""POST /v1/normalize: the pictures themselves."""

import json
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from zipfile import ZipFile

import httpx2
from PIL import Image

Maker = Callable[..., bytes]


def test_one_picture_comes_back_as_its_bytes_with_the_report_in_a_header(service: httpx2.Client, photo: Maker) -> None:
    response = service.post("/v1/normalize", files={"image": ("straße.tif", photo(3000, 2000, "TIFF"))})

    report = json.loads(response.headers["x-vision-proxy-image"])
    assert response.headers["content-type"] == report["sent"]["media_type"] == "image/jpeg"
    assert Image.open(BytesIO(response.content)).size == (2352, 1568)
    assert report["sent"]["sha256"] == sha256(response.content).hexdigest()
    assert report["name"] == "straße.tif"


def test_several_pictures_come_back_as_a_zip_with_their_reports(service: httpx2.Client, photo: Maker) -> None:
    files = [("image", ("beach.jpg", photo(64, 48))), ("image", ("../../x.png", photo(30, 20, "PNG")))]

    response = service.post("/v1/normalize", files=files)

    with ZipFile(BytesIO(response.content)) as archive:
        names = archive.namelist()
        report = json.loads(archive.read("report.json"))
        digests = [sha256(archive.read(name)).hexdigest() for name in names[:2]]
    assert response.headers["content-type"] == "application/zip"
    assert names == ["001-beach.jpg", "002-x.png", "report.json"]
    assert [image["sent"]["sha256"] for image in report["images"]] == digests


def test_it_takes_what_analyze_takes(service: httpx2.Client, photo: Maker) -> None:
    response = service.post(
        "/v1/normalize",
        files={"image": ("a.jpg", photo(4000, 3000))},
        data={"prompt": "ignored", "detail": "standard", "model": "claude-opus-5"},
    )

    assert Image.open(BytesIO(response.content)).size == (1270, 952)


def test_the_model_decides_the_size(service: httpx2.Client, photo: Maker) -> None:
    response = service.post(
        "/v1/normalize", files={"image": ("a.jpg", photo(4000, 3000))}, data={"model": "claude-sonnet-4-6"}
    )

    assert Image.open(BytesIO(response.content)).size == (1270, 952)


def test_what_was_normalized_passes_through_untouched_the_second_time(service: httpx2.Client, photo: Maker) -> None:
    first = service.post("/v1/normalize", files={"image": ("a.tif", photo(3000, 2000, "TIFF"))})
    second = service.post("/v1/normalize", files={"image": ("a.jpg", first.content)})

    assert second.content == first.content
