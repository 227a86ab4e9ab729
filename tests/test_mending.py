"""What the vendor refuses although it was within the documented limits is prepared anew and sent once more."""

import base64
import zlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

Maker = Callable[..., bytes]


def ask(service: httpx2.Client, picture: bytes, fault: str, **fields: str) -> httpx2.Response:
    headers = {"x-vision-proxy-sandbox-fault": fault}
    return service.post("/v1/analyze", files={"image": ("a.jpg", picture)}, data=fields, headers=headers)


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_smaller_side_limit_of_the_vendor_is_kept_at_the_second_attempt(
    service: httpx2.Client, photo: Maker, stream: str
) -> None:
    response = ask(service, photo(1500, 1200), "dimensions=1000", stream=stream)

    assert response.status_code == 200
    assert '"width_px": 1000' in response.text or '"width_px":1000' in response.text


def test_the_second_attempt_is_told_in_a_warning(service: httpx2.Client, photo: Maker) -> None:
    answer = ask(service, photo(1500, 1200), "dimensions=1000").json()

    [warning] = answer["warnings"]
    assert warning["code"] == "prepared_again"
    assert "1000 px" in warning["message"]


def test_a_smaller_byte_limit_of_the_vendor_is_kept_at_the_second_attempt(service: httpx2.Client, photo: Maker) -> None:
    picture = photo(1500, 1500, quality=100, subsampling=0)
    assert len(picture) > 3_932_160

    answer = ask(service, picture, "bytes").json()

    assert answer["images"][0]["sent"]["size_bytes"] <= 3_932_160
    assert [warning["code"] for warning in answer["warnings"]] == ["prepared_again"]


def test_a_limit_that_is_kept_already_is_not_tried_again(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    headers = {"x-vision-proxy-sandbox-fault": "dimensions", "x-vision-proxy-sandbox-case": case}
    response = service.post("/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}, headers=headers)

    journal = sandbox.get("/sandbox/journal", params={"settled": "true"}).json()
    assert response.status_code == 400
    assert sum(visit["headers"].get("x-vision-proxy-sandbox-case") == case for visit in journal) == 1


def test_the_drop_in_endpoint_is_mended_too(service: httpx2.Client, photo: Maker) -> None:
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(photo(1500, 1200)).decode()}
    body: dict[str, Any] = {
        "model": "claude-sonnet-5-5",
        "max_tokens": 300,
        "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}],
    }

    response = service.post("/v1/messages", json=body, headers={"x-vision-proxy-sandbox-fault": "dimensions=1000"})

    assert (response.status_code, response.headers["x-vision-proxy-warnings"]) == (200, "prepared_again")


def test_a_picture_that_the_vendor_cannot_read_is_named_by_its_place(service: httpx2.Client, photo: Maker) -> None:
    """Its header and structure are whole, so that it travels untouched; its pixels are not."""
    broken = bytearray(photo(64, 48, "PNG"))
    at = broken.index(b"IDAT")
    size = int.from_bytes(broken[at - 4 : at], "big")
    broken[at + 4 : at + 4 + size] = bytes(size)
    broken[at + 4 + size : at + 8 + size] = zlib.crc32(broken[at : at + 4 + size]).to_bytes(4, "big")
    files = [("image", ("ok.jpg", photo(64, 48))), ("image", ("broken.png", bytes(broken)))]

    response = service.post("/v1/analyze", files=files)

    assert response.status_code == 400
    assert response.json()["error"]["details"]["error_code"] == "image_undecodable"
    assert response.json()["error"]["message"].startswith("image 2 (broken.png): ")
