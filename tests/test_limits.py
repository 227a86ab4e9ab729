"""The vendor's limits as a whole request meets them: what can be made to fit is made to fit."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

Maker = Callable[..., bytes]


def visit_of(sandbox: httpx2.Client, answer: dict[str, Any]) -> dict[str, Any]:
    journal = sandbox.get("/sandbox/journal").json()
    return next(visit for visit in journal if visit["request_id"] == answer["upstream_request_id"])


def test_25_large_pictures_are_one_accepted_request_with_every_side_under_2000(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker
) -> None:
    picture = photo(4000, 3000)
    files = [("image", (f"{number}.jpg", picture)) for number in range(25)]

    response = service.post("/v1/analyze", files=files, timeout=120)

    answer = response.json()
    visit = visit_of(sandbox, answer)
    assert response.status_code == 200
    assert len(visit["images"]) == 25
    assert all(max(image["width"], image["height"]) < 2000 for image in visit["images"])
    assert all(image["sent"]["width_px"] == 1999 for image in answer["images"])
    assert visit["body_bytes"] <= 32_000_000


@pytest.mark.parametrize(("count", "width"), [(20, 2300), (21, 1999)])
def test_the_21st_picture_brings_the_stricter_side_limit(
    service: httpx2.Client, photo: Maker, count: int, width: int
) -> None:
    wide = {"data": base64.b64encode(photo(2300, 300)).decode()}
    small = {"data": base64.b64encode(photo(64, 48)).decode()}

    images = service.post("/v1/estimate", json={"images": [wide] + [small] * (count - 1)}).json()["images"]

    assert images[0]["sent"]["width_px"] == width


def test_pictures_of_earlier_turns_count_to_the_20(service: httpx2.Client, photo: Maker) -> None:
    def block(picture: bytes) -> dict[str, Any]:
        data = base64.b64encode(picture).decode()
        return {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": data}}

    small, wide = photo(64, 48), photo(2162, 322)
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [block(small)] * 19 + [block(wide)]}
    messages = [{"role": "user", "content": [result]}]
    twenty = service.post("/v1/estimate", json={"messages": messages}).json()
    body = {"messages": messages, "images": [{"data": base64.b64encode(small).decode()}]}
    twenty_one = service.post("/v1/estimate", json=body).json()

    assert twenty["images"][19]["sent"]["width_px"] == 2162
    assert twenty_one["images"][19]["sent"]["width_px"] == 1999


@pytest.mark.parametrize(("model", "count"), [("claude-haiku-4-5", 100), ("claude-sonnet-5-5", 600)])
def test_as_many_pictures_as_the_model_takes_are_answered(
    service: httpx2.Client, photo: Maker, model: str, count: int
) -> None:
    picture = {"data": base64.b64encode(photo(16, 16)).decode()}

    response = service.post("/v1/analyze", json={"images": [picture] * count, "model": model}, timeout=120)

    assert response.status_code == 200
    assert response.json()["images"][-1]["label"] == f"Image {count}"


@pytest.fixture
def too_much(photo: Maker) -> list[dict[str, str]]:
    """A small picture behind 39 noisy ones, which are about 45 MB of base64 together."""
    large = {"data": base64.b64encode(photo(1900, 1400, quality=70)).decode()}
    return [large] * 39 + [{"data": base64.b64encode(photo(64, 48)).decode()}]


def test_what_is_too_much_for_one_body_goes_by_file_and_is_deleted_afterwards(
    service: httpx2.Client, sandbox: httpx2.Client, too_much: list[dict[str, str]]
) -> None:
    response = service.post("/v1/analyze", json={"images": too_much}, timeout=300)

    answer = response.json()
    ways = [image["sent"]["via"] for image in answer["images"]]
    journal = sandbox.get("/sandbox/journal", params={"settled": "true"}).json()
    deleted = [visit for visit in journal if visit["method"] == "DELETE" and visit["path"].startswith("/v1/files/")]
    assert response.status_code == 200
    assert visit_of(sandbox, answer)["body_bytes"] <= 32_000_000
    assert {warning["code"] for image in answer["images"][:39] for warning in image["warnings"]} == set()
    assert (ways.count("file") > 0, ways[39]) == (True, "base64")
    assert len(deleted) >= ways.count("file")


def test_where_nothing_can_go_by_file_the_pictures_are_pressed_into_shares(
    service: httpx2.Client, too_much: list[dict[str, str]]
) -> None:
    """An estimate uploads nothing."""
    images = service.post("/v1/estimate", json={"images": too_much}, timeout=300).json()["images"]

    assert {warning["code"] for warning in images[0]["warnings"]} == {"lossy"}
    assert sum(-(-image["sent"]["size_bytes"] // 3) * 4 for image in images) <= 32_000_000
    assert images[39]["operations"] == []  # what is small is left alone


def test_a_vendor_without_a_files_api_gets_pressed_pictures(
    start_service: Callable[..., httpx2.Client], without_files: str, too_much: list[dict[str, str]]
) -> None:
    answer = start_service(without_files).post("/v1/analyze", json={"images": too_much}, timeout=300).json()

    assert {image["sent"]["via"] for image in answer["images"]} == {"base64"}


def test_a_picture_over_10_mb_of_base64_is_encoded_to_fit(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker
) -> None:
    data = photo(2000, 1500, "PNG", compress_level=0)
    assert len(data) > 7_864_320

    answer = service.post("/v1/analyze", files={"image": ("big.png", data)}).json()

    [image] = visit_of(sandbox, answer)["images"]
    assert image["base64_chars"] <= 10_485_760


def test_a_side_over_8000_px_is_brought_down_even_with_detail_original(service: httpx2.Client, screen: Maker) -> None:
    response = service.post(
        "/v1/analyze", files={"image": ("page.png", screen(9000, 200))}, data={"detail": "original"}
    )

    assert response.status_code == 200
    assert response.json()["images"][0]["sent"]["width_px"] == 8000


@pytest.mark.parametrize("label", ["image/png", "image/jpg", "text/plain", None])
def test_the_bytes_decide_and_never_the_label_or_the_name(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker, label: str | None
) -> None:
    part = ("picture.gif", photo(64, 48)) if label is None else ("picture.gif", photo(64, 48), label)

    answer = service.post("/v1/analyze", files={"image": part}).json()

    assert visit_of(sandbox, answer)["images"][0]["media_type"] == "image/jpeg"


def test_a_heic_labelled_png_is_refused_directly_and_answered_through_the_service(
    service: httpx2.Client, sandbox: httpx2.Client, corpus: Path
) -> None:
    data = base64.b64encode((corpus / "heif" / "pug.heic").read_bytes()).decode()
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    body = {"model": "claude-sonnet-5-5", "max_tokens": 99, "messages": [{"role": "user", "content": [block]}]}

    direct, through = sandbox.post("/v1/messages", json=body), service.post("/v1/messages", json=body)

    assert (direct.status_code, through.status_code) == (400, 200)


def test_what_the_sandbox_refuses_directly_it_accepts_through_the_service(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker, screen: Maker
) -> None:
    """A wrong label, a data: prefix left in, a page of 9000 px, an unknown format: each a refusal without us."""
    faults = {
        "label": ("image/png", base64.b64encode(photo(64, 48)).decode()),
        "prefix": ("image/jpeg", "data:image/jpeg;base64," + base64.b64encode(photo(64, 48)).decode()),
        "page": ("image/png", base64.b64encode(screen(9000, 300)).decode()),
        "format": ("image/tiff", base64.b64encode(screen(300, 200, "TIFF")).decode()),
    }
    outcomes: dict[str, tuple[int, int]] = {}
    for name, (media_type, data) in faults.items():
        block = {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
        message = {"role": "user", "content": [block]}
        direct = sandbox.post(
            "/v1/messages", json={"model": "claude-sonnet-5-5", "max_tokens": 99, "messages": [message]}
        )
        through = service.post("/v1/analyze", json={"messages": [message], "max_tokens": 99})
        outcomes[name] = (direct.status_code, through.status_code)

    assert outcomes == dict.fromkeys(faults, (400, 200))
