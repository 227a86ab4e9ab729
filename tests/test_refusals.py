"""Every error code that this service gives by itself: status, type, code, and the figures in the message."""

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]

ENCODED = base64.b64encode(b"x" * 9).decode()


def refusal(response: httpx2.Response) -> tuple[int, str, str, str]:
    """Status, type, error_code and message, once the envelope has been checked."""
    body = response.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["x-vision-proxy-request-id"]
    error = body["error"]
    return response.status_code, error["type"], error["details"]["error_code"], error["message"]


def details(response: httpx2.Response) -> dict[str, Any]:
    return response.json()["error"]["details"]


def image(data: bytes, name: str = "scan.tif") -> dict[str, tuple[str, bytes]]:
    return {"image": (name, data)}


ENTRIES = 'images must be [{"data": BASE64} or {"url": ...} or {"file_id": ...}, each with "name" if you like]'


def test_invalid_request_names_the_field_and_what_it_takes(service: httpx2.Client, photo: Maker) -> None:
    response = service.post("/v1/analyze", files=image(photo(8, 8)), data={"detail": "huge"})

    assert refusal(response) == (
        400,
        "invalid_request_error",
        "invalid_request",
        "detail: Input should be 'auto', 'low', 'standard', 'high' or 'original'",
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_tokens": "0"}, "max_tokens: Input should be greater than or equal to 1"),
        (
            {"max_image_tokens": "x"},
            "max_image_tokens: Input should be a valid integer, unable to parse string as an integer",
        ),
        ({"max_cost_usd": "-1"}, "max_cost_usd: Input should be greater than or equal to 0"),
        ({"messages": "not json"}, "messages must be JSON: JSON is malformed: invalid character (byte 1)"),
        ({"messages": "{}"}, "messages must be an array of objects: Expected `array`, got `object`"),
        ({"extra": "[]"}, "extra must be a JSON object: Expected `object`, got `array`"),
        ({"extra": '{"model": "m"}'}, "extra.model: send model as a field of its own"),
        ({"thinking": "yes"}, "thinking must be JSON: JSON is malformed: invalid character (byte 0)"),
        ({"prompt": ["a", "b"]}, "prompt: sent 2 times; send it once"),
        ({"pages": "all"}, "pages: it must be numbers of pages and spans of them, such as 1-3,7 or 21-"),
    ],
)
def test_invalid_request_in_a_form(service: httpx2.Client, photo: Maker, fields: dict[str, Any], message: str) -> None:
    response = service.post("/v1/analyze", files=image(photo(8, 8)), data=fields)

    assert refusal(response) == (400, "invalid_request_error", "invalid_request", message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1]", "the body must be a JSON object: Expected `object`, got `array`"),
        (b'{"images": [', "the body must be a JSON object: Input data was truncated"),
        (b"\xff\xfe", "the body is not UTF-8 at byte 0"),
        (b'{"images": 1}', f"{ENTRIES}: Expected `array`, got `int`"),
        (
            b'{"images": [{"dat": ""}]}',
            f"{ENTRIES}: Object contains unknown field `dat` - at `$[0]`",
        ),
    ],
)
def test_invalid_request_in_json(service: httpx2.Client, body: bytes, message: str) -> None:
    response = service.post("/v1/analyze", content=body, headers={"content-type": "application/json"})

    assert refusal(response) == (400, "invalid_request_error", "invalid_request", message)


def test_an_unknown_content_type_is_told_what_to_send(service: httpx2.Client) -> None:
    response = service.post("/v1/analyze", content=b"x", headers={"content-type": "text/plain"})

    assert refusal(response) == (
        400,
        "invalid_request_error",
        "invalid_request",
        "content-type 'text/plain' is not read here; send multipart/form-data or application/json",
    )


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\ncontent-disposition: form-data; name=image; filename=a.png\r\n\r\n\x89PNG",
        b"--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b"nothing at all",
        b"",
    ],
)
def test_a_form_that_is_malformed_or_cut_short_is_refused(service: httpx2.Client, body: bytes) -> None:
    response = service.post("/v1/analyze", content=body, headers={"content-type": "multipart/form-data; boundary=b"})

    assert refusal(response)[:3] == (400, "invalid_request_error", "invalid_request")


def test_a_picture_sent_as_text_is_told_how_to_upload(service: httpx2.Client) -> None:
    response = service.post("/v1/analyze", files=[("image", (None, "photo.jpg"))])

    assert refusal(response)[2:] == ("invalid_request", "image 1: the field image is text, not a file")
    assert details(response)["hint"].startswith("with curl write -F image=@photo.jpg")


@pytest.mark.parametrize("form", [True, False])
def test_unknown_field(service: httpx2.Client, photo: Maker, form: bool) -> None:
    if form:
        response = service.post("/v1/analyze", files=image(photo(8, 8)), data={"promt": "?"})
    else:
        response = service.post("/v1/analyze", json={"images": [{"data": ENCODED}], "promt": "?"})

    status, kind, code, message = refusal(response)
    assert (status, kind, code) == (400, "invalid_request_error", "unknown_field")
    assert message.startswith("promt: there is no such field; known are prompt, model, max_tokens")


@pytest.mark.parametrize(
    "sent",
    [
        {"data": {"prompt": "hi"}, "files": [("prompt2", (None, ""))]},
        {"json": {"prompt": "hi"}},
        {"json": {"images": []}},
    ],
)
def test_no_image(service: httpx2.Client, sent: dict[str, Any]) -> None:
    sent = {"data": {"prompt": "hi"}, "files": [("system", (None, "x"))]} if "data" in sent else sent
    response = service.post("/v1/analyze", **sent)

    assert refusal(response) == (400, "invalid_request_error", "no_image", "the request holds no picture")


def test_empty_image(service: httpx2.Client) -> None:
    response = service.post("/v1/analyze", files=image(b"", "a.png"))

    assert refusal(response) == (
        400,
        "invalid_request_error",
        "empty_image",
        "image 1 (a.png): the file is empty (0 bytes)",
    )
    assert details(response) == {"error_code": "empty_image", "image": 1, "name": "a.png", "actual": 0}


def test_invalid_base64(service: httpx2.Client) -> None:
    response = service.post("/v1/analyze", json={"images": [{"data": "not base64!", "name": "a.png"}]})

    assert refusal(response) == (
        400,
        "invalid_request_error",
        "invalid_base64",
        "image 1 (a.png): 11 characters that are not base64",
    )


def test_invalid_base64_in_an_earlier_turn(service: httpx2.Client) -> None:
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "@@"}}
    response = service.post("/v1/analyze", json={"messages": [{"role": "user", "content": [block]}]})

    assert refusal(response)[2:] == ("invalid_base64", "image 1: 2 characters that are not base64")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"8BPS....", "a Photoshop document"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"\x00\x00\x00\x18ftypmp42....", "a video"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"hello", "an unknown kind of file"),
    ],
)
def test_unsupported_format(service: httpx2.Client, data: bytes, kind: str) -> None:
    response = service.post("/v1/analyze", files=image(data, "photo.jpg"))

    status, error_type, code, message = refusal(response)
    assert (status, error_type, code) == (400, "invalid_request_error", "unsupported_format")
    assert message.startswith(f"image 1 (photo.jpg): {kind}; send JPEG, PNG, GIF, WebP, HEIC/HEIF")


def test_image_undecodable(service: httpx2.Client, photo: Maker) -> None:
    response = service.post("/v1/analyze", files=image(photo(640, 480)[:5000], "cut.jpg"))

    assert refusal(response) == (
        400,
        "invalid_request_error",
        "image_undecodable",
        "image 1 (cut.jpg): the image/jpeg file is broken: it ends too early",
    )


def test_image_too_many_pixels(start_service: StartService, photo: Maker) -> None:
    service = start_service(max_image_pixels=300_000, max_jpeg_pixels=300_000)
    response = service.post("/v1/analyze", files=image(photo(640, 480)))

    assert refusal(response) == (
        400,
        "invalid_request_error",
        "image_too_many_pixels",
        "image 1 (scan.tif): 640x480 px is 0.3072 megapixels; the limit is 0.3",
    )
    assert (details(response)["actual"], details(response)["limit"]) == (307_200, 300_000)


@pytest.mark.parametrize(("model", "limit"), [("claude-haiku-4-5", 100), ("claude-sonnet-5-5", 600)])
def test_too_many_images(service: httpx2.Client, photo: Maker, model: str, limit: int) -> None:
    picture = {"data": base64.b64encode(photo(8, 8, "PNG")).decode()}
    response = service.post("/v1/estimate", json={"images": [picture] * (limit + 1), "model": model})

    assert refusal(response) == (
        400,
        "invalid_request_error",
        "too_many_images",
        f"{limit + 1} images in the request, earlier turns included; {model} takes {limit}",
    )
    assert (details(response)["actual"], details(response)["limit"]) == (limit + 1, limit)


def test_request_too_large_after_normalizing(service: httpx2.Client, photo: Maker) -> None:
    """600 noisy pictures of 1.4 MB of pixels each do not fit into 32 MB at half their size."""
    picture = {"data": base64.b64encode(photo(700, 700)).decode()}
    filler = "x" * 31_000_000
    response = service.post("/v1/normalize", json={"images": [picture] * 60, "system": filler})

    status, error_type, code, message = refusal(response)
    assert (status, error_type, code) == (400, "invalid_request_error", "request_too_large_after_normalizing")
    assert message.startswith("image 1: still ")
    assert details(response)["actual"] > details(response)["limit"]


def test_text_alone_over_the_request_limit_is_refused(service: httpx2.Client, photo: Maker) -> None:
    picture = {"data": base64.b64encode(photo(64, 48)).decode()}
    response = service.post("/v1/normalize", json={"images": [picture], "system": "x" * 32_000_000})

    assert refusal(response)[2] == "request_too_large_after_normalizing"
    assert "a whole request may be 32000000" in refusal(response)[3]


@pytest.mark.parametrize(
    "sent",
    [
        {"files": [("image_url", (None, "https://example.org/a.png"))]},
        {"json": {"image_url": "https://example.org/a.png"}},
        {"json": {"images": [{"url": "https://example.org/a.png"}]}},
        {
            "json": {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}],
                    }
                ]
            }
        },
    ],
)
def test_url_images_off(service: httpx2.Client, sent: dict[str, Any]) -> None:
    response = service.post("/v1/analyze", **sent)

    assert refusal(response) == (
        400,
        "invalid_request_error",
        "url_images_off",
        "image 1: pictures by URL are switched off on this service",
    )


@pytest.mark.parametrize(
    "sent",
    [
        {"files": [("file_id", (None, "file_123"))]},
        {"json": {"images": [{"file_id": "file_123"}]}},
    ],
)
def test_file_not_found(service: httpx2.Client, sent: dict[str, Any]) -> None:
    response = service.post("/v1/analyze", **sent)

    assert refusal(response) == (404, "not_found_error", "file_not_found", "File `file_123` not found.")


def test_max_cost_exceeded(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    response = recorded.post(
        "/v1/analyze", files=image(photo(2000, 1500)), data={"max_cost_usd": "0.05", "max_tokens": "8192"}
    )

    status, kind, code, message = refusal(response)
    assert (status, kind, code) == (402, "billing_error", "max_cost_exceeded")
    assert message == f"this may cost up to {details(response)['actual']:.6f} USD; max_cost_usd is 0.05"
    assert 0.0896 < details(response)["actual"] < 0.0910  # 8192 output tokens and 3888 of the picture, and the text
    assert details(response)["limit"] == 0.05
    assert wire.bodies == []  # nothing was spent


def test_max_cost_cannot_be_kept_without_a_price(service: httpx2.Client, photo: Maker) -> None:
    response = service.post(
        "/v1/analyze", files=image(photo(64, 48)), data={"max_cost_usd": "5", "model": "claude-next-9"}
    )

    assert refusal(response)[2:] == (
        "max_cost_exceeded",
        "max_cost_usd 5 cannot be kept: no price of claude-next-9 is known",
    )


def test_a_cap_above_the_bound_lets_the_request_through(service: httpx2.Client, photo: Maker) -> None:
    response = service.post("/v1/analyze", files=image(photo(64, 48)), data={"max_cost_usd": "0.5"})

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "no key was sent"),
        ({"x-api-key": "wrong-key-wrong-key"}, "the key is not known here"),
        ({"authorization": "Bearer wrong"}, "the key is not known here"),
        ({"authorization": "Basic cGFzcw=="}, "no key was sent"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/estimate", "/v1/normalize"])
def test_invalid_key(
    start_service: StartService, photo: Maker, path: str, headers: dict[str, str], message: str
) -> None:
    service = start_service(admin_key="right-key-right-key")
    response = service.post(path, files=image(photo(8, 8)), headers=headers)

    assert refusal(response) == (401, "authentication_error", "invalid_key", message)


@pytest.mark.parametrize(
    "headers", [{"x-api-key": "right-key-right-key"}, {"authorization": "Bearer right-key-right-key"}]
)
def test_the_right_key_opens_the_service_and_never_travels_upstream(
    wire: Any, start_service: StartService, photo: Maker, recorded: httpx2.Client, headers: dict[str, str]
) -> None:
    del recorded
    service = start_service(admin_key="right-key-right-key")
    response = service.post("/v1/analyze", files=image(photo(8, 8)), headers=headers)

    assert response.status_code == 200
    assert b"right-key" not in b"".join(wire.bodies)


def test_unknown_route(service: httpx2.Client) -> None:
    assert refusal(service.get("/v1/nothing")) == (
        404,
        "not_found_error",
        "unknown_route",
        "there is no GET /v1/nothing here",
    )


def test_a_wrong_method_is_told_the_right_one(service: httpx2.Client) -> None:
    response = service.get("/v1/analyze")

    assert refusal(response) == (405, "not_found_error", "unknown_route", "/v1/analyze takes POST")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("declared", [True, False])
def test_body_too_large(start_service: StartService, declared: bool) -> None:
    service = start_service(max_body_bytes=10_000)
    body = b"x" * 20_000
    content = body if declared else iter([body[:9_000], body[9_000:]])
    response = service.post("/v1/analyze", content=content, headers={"content-type": "application/json"})

    status, kind, code, message = refusal(response)
    assert (status, kind, code) == (413, "request_too_large", "body_too_large")
    assert message.startswith("the body is 20000 bytes" if declared else "the body is longer than 10000 bytes")
    assert message.endswith("the limit is 10000 bytes")
    assert response.headers["connection"] == "close"


def test_an_oversized_body_is_refused_when_the_cap_is_passed(start_service: StartService) -> None:
    """The sender stops early: of a body without end only a little is taken before the refusal."""
    service = start_service(max_body_bytes=100_000)
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 1_000_000_000:
            sent += 65_536
            yield b"x" * 65_536

    try:
        response = service.post("/v1/analyze", content=endless(), headers={"content-type": "application/json"})
        assert response.status_code == 413
    except httpx2.HTTPError:
        pass  # the connection was closed on the sender, which is a refusal too
    assert sent < 50_000_000


@pytest.mark.parametrize("form", [True, False])
def test_image_too_large(start_service: StartService, photo: Maker, form: bool) -> None:
    service = start_service(max_image_bytes=10_000)
    data = photo(400, 300)
    if form:
        response = service.post("/v1/analyze", files=[("image", ("a.jpg", photo(8, 8))), ("image", ("b.jpg", data))])
    else:
        small, large = (base64.b64encode(picture).decode() for picture in (photo(8, 8), data))
        response = service.post("/v1/analyze", json={"images": [{"data": small}, {"data": large, "name": "b.jpg"}]})

    assert refusal(response) == (
        413,
        "request_too_large",
        "image_too_large",
        "image 2 (b.jpg): more than 10000 bytes, the limit for one picture",
    )


def test_every_bad_picture_is_named_at_once(service: httpx2.Client, photo: Maker) -> None:
    files = [
        ("image", ("ok.jpg", photo(64, 48))),
        ("image", ("empty.png", b"")),
        ("image", ("doc.psd", b"8BPS....")),
    ]
    response = service.post("/v1/analyze", files=files)

    assert refusal(response)[3] == "image 2 (empty.png): the file is empty (0 bytes)"
    assert [other.split(":")[0] for other in details(response)["others"]] == ["image 3 (doc.psd)"]


def test_too_many_form_parts_are_refused(service: httpx2.Client) -> None:
    files = [("prompt", (None, "x"))] * 1001
    response = service.post("/v1/analyze", files=files)

    assert refusal(response)[2:] == ("invalid_request", "more than 1000 form parts")


def test_deeply_nested_json_is_refused_and_not_followed(service: httpx2.Client) -> None:
    nested = "[" * 5000 + "]" * 5000
    deep: Any = [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]
    for _ in range(60):
        deep = [{"type": "tool_result", "content": deep}]
    for content in (json.loads(json.dumps(deep)), None):
        raw = json.dumps(content) if content is not None else nested
        body = f'{{"messages": [{{"role": "user", "content": {raw}}}]}}'.encode()
        response = service.post("/v1/analyze", content=body, headers={"content-type": "application/json"})
        assert refusal(response)[:3] == (400, "invalid_request_error", "invalid_request")
