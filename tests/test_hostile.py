"""What an attack found, kept from coming back: files and bodies made to cost, and rules made to be slipped past."""

import base64
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]

MODEL = "claude-sonnet-5-5"


def code_of(response: httpx2.Response) -> str:
    return response.json()["error"]["details"]["error_code"]


def block(picture: bytes, **more: Any) -> dict[str, Any]:
    data = base64.b64encode(picture).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": data}, **more}


def icon_with(width: int, height: int) -> bytes:
    """An ICO of one entry, a PNG that declares that size."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 1, len(png), 22) + png


def tiff_of_pages(pages: int) -> bytes:
    """A chain of TIFF directories, each of a 1x1 picture, and no pixels."""
    data = b"II*\x00" + struct.pack("<I", 8)
    size = 2 + 12 * 2 + 4
    for page in range(pages):
        following = 8 + (page + 1) * size if page + 1 < pages else 0
        entries = struct.pack("<HHIHxx", 256, 3, 1, 1) + struct.pack("<HHIHxx", 257, 3, 1, 1)
        data += struct.pack("<H", 2) + entries + struct.pack("<I", following)
    return data


def test_a_picture_inside_an_icon_is_measured_before_it_is_decoded(service: httpx2.Client) -> None:
    response = service.post("/v1/normalize", files={"image": ("a.ico", icon_with(40_000, 40_000))})

    assert code_of(response) == "image_too_many_pixels"
    assert "40000x40000" in response.json()["error"]["message"]


def test_the_pages_of_a_tiff_are_counted_up_to_the_limit_and_no_further(service: httpx2.Client) -> None:
    response = service.post("/v1/normalize", files={"image": ("a.tif", tiff_of_pages(20_000))})

    assert (code_of(response), response.json()["error"]["details"]["limit"]) == ("image_too_many_pixels", 5_000)


def test_a_million_blocks_around_a_picture_are_refused(service: httpx2.Client, photo: Maker) -> None:
    picture = json.dumps(block(photo(8, 8)))
    body = f'{{"messages":[{{"role":"user","content":[{picture}{",{}" * 200_000}]}}]}}'

    response = service.post("/v1/normalize", content=body, headers={"content-type": "application/json"})

    assert code_of(response) == "invalid_request"
    assert response.json()["error"]["message"] == "more than 100000 messages and blocks"


@pytest.mark.parametrize(
    "extra",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"mcp_servers": []},
        {"fallbacks": ["claude-opus-5"]},
        {"some_new_field": 1},
    ],
)
def test_a_cap_is_refused_where_the_cost_cannot_be_foreseen(
    recorded: httpx2.Client, wire: Any, photo: Maker, extra: dict[str, Any]
) -> None:
    fields = {"max_cost_usd": "50", "extra": json.dumps(extra)}
    response = recorded.post("/v1/analyze", files={"image": ("a.jpg", photo(8, 8))}, data=fields)

    assert code_of(response) == "max_cost_exceeded"
    assert wire.bodies == []


def test_a_cap_is_refused_for_documents(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    document = {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}
    body = {
        "messages": [{"role": "user", "content": [document]}],
        "images": [{"data": base64.b64encode(photo(8, 8)).decode()}],
        "max_cost_usd": 50,
    }

    response = recorded.post("/v1/analyze", json=body)

    assert code_of(response) == "max_cost_exceeded"
    assert wire.bodies == []


def test_a_type_spelt_with_an_escape_is_a_picture_all_the_same(service: httpx2.Client, photo: Maker) -> None:
    escaped = json.dumps(block(photo(3000, 2000))).replace('"image"', '"imag\\u0065"', 1)
    body = f'{{"messages":[{{"role":"user","content":[{escaped}]}}]}}'

    response = service.post("/v1/analyze", content=body, headers={"content-type": "application/json"})

    assert response.json()["images"][0]["sent"]["width_px"] == 2352


def test_a_picture_inside_a_document_is_prepared(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    source: dict[str, Any] = {"type": "content", "content": [block(photo(3000, 2000))]}
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"type": "document", "source": source}]}]}

    recorded.post("/v1/analyze", json=body)

    sent = wire.last_request["messages"][0]["content"][0]["source"]["content"][0]["source"]["data"]
    assert base64.b64decode(sent) != base64.b64decode(source["content"][0]["source"]["data"])


def test_coordinates_are_in_the_size_that_the_model_sees(service: httpx2.Client, photo: Maker) -> None:
    [image] = service.post(
        "/v1/estimate", files={"image": ("a.jpg", photo(4000, 3000))}, data={"detail": "original"}
    ).json()["images"]

    assert image["sent"]["width_px"] == 4000
    assert (image["scale_x"], image["scale_y"]) == (round(4000 / 2212, 6), round(3000 / 1659, 6))


@pytest.mark.parametrize(
    "fields",
    [
        {"max_cost_usd": "1e400"},
        {"max_cost_usd": "9" * 400, "model": "claude-next-9"},
        {"max_cost_usd": "nan"},
        {"max_cost_usd": "inf"},
        {"max_tokens": "9" * 400},
        {"max_image_tokens": "9" * 30},
    ],
)
def test_numbers_beyond_reason_are_invalid(service: httpx2.Client, photo: Maker, fields: dict[str, str]) -> None:
    response = service.post("/v1/estimate", files={"image": ("a.jpg", photo(8, 8))}, data=fields)

    assert (response.status_code, code_of(response)) == (400, "invalid_request")


def test_names_in_json_are_bare_and_short(service: httpx2.Client, photo: Maker) -> None:
    data = base64.b64encode(photo(8, 8)).decode()
    names = ["..\\..\\x.png", "a\r\nx-evil: 1.png", "n" * 70_000]
    body = {"images": [{"data": data, "name": name} for name in names]}

    images = service.post("/v1/estimate", json=body).json()["images"]

    assert [image["name"] for image in images] == ["x.png", "ax-evil: 1.png", "n" * 255]


def test_a_bad_picture_is_numbered_behind_those_of_earlier_turns(service: httpx2.Client, photo: Maker) -> None:
    body = {
        "messages": [{"role": "user", "content": [block(photo(8, 8))]}, {"role": "assistant", "content": "Yes."}],
        "images": [{"data": "@@@"}],
    }

    response = service.post("/v1/analyze", json=body)

    assert response.json()["error"]["message"] == "image 2: 3 characters that are not base64"


def test_the_cap_of_one_picture_holds_in_earlier_turns_too(start_service: StartService, photo: Maker) -> None:
    service = start_service(max_image_bytes=10_000)

    response = service.post("/v1/analyze", json={"messages": [{"role": "user", "content": [block(photo(400, 300))]}]})

    assert (response.status_code, code_of(response)) == (413, "image_too_large")


@pytest.mark.parametrize("name", ["", "x.bin"])
def test_a_part_with_a_file_name_is_a_file_even_if_the_name_is_empty(
    service: httpx2.Client, photo: Maker, name: str
) -> None:
    disposition = f'content-disposition: form-data; name="image"; filename="{name}"'
    body = f"--b\r\n{disposition}\r\n\r\n".encode() + photo(8, 8) + b"\r\n--b--\r\n"

    response = service.post("/v1/normalize", content=body, headers={"content-type": "multipart/form-data; boundary=b"})

    assert response.status_code == 200


def test_a_text_field_sent_as_a_file_is_told_so(service: httpx2.Client, photo: Maker) -> None:
    files = {"image": ("a.jpg", photo(8, 8)), "prompt": ("p.txt", b"What?")}

    response = service.post("/v1/analyze", files=files)

    assert response.json()["error"]["message"] == "prompt: this field takes text, not a file"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "rebind.evil.example"},
        {"host": "localhost:80@evil.example"},
        {"host": "localhost.evil.example"},
    ],
)
def test_without_a_key_no_foreign_web_page_is_served(
    service: httpx2.Client, photo: Maker, headers: dict[str, str]
) -> None:
    response = service.post("/v1/analyze", files={"image": ("a.jpg", photo(8, 8))}, headers=headers)

    assert (response.status_code, code_of(response)) == (401, "invalid_key")


def test_with_a_key_any_origin_may_ask(start_service: StartService, photo: Maker) -> None:
    service = start_service(admin_key="a-key-of-sixteen-characters")
    headers = {"origin": "https://app.example", "x-api-key": "a-key-of-sixteen-characters"}

    response = service.post("/v1/analyze", files={"image": ("a.jpg", photo(8, 8))}, headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_answers_head_too(service: httpx2.Client, path: str) -> None:
    assert service.head(path).status_code == 200


def test_no_redirect_names_the_host_that_a_client_claims(service: httpx2.Client) -> None:
    assert service.post("/v1/analyze/", follow_redirects=False).status_code == 404


def answer_of(**more: Any) -> bytes:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "model": MODEL,
        "content": [],
        "stop_reason": "end_turn",
    }
    usage = {"input_tokens": 5000, "output_tokens": 0}
    return json.dumps({**message, "usage": usage, **more}).encode()


def ask(service: httpx2.Client, photo: Maker, **fields: str) -> httpx2.Response:
    return service.post("/v1/analyze", files={"image": ("a.jpg", photo(8, 8))}, data=fields)


def test_a_refusal_before_any_output_is_not_billed(
    scripted: Callable[..., str], start_service: StartService, photo: Maker
) -> None:
    details = {"type": "refusal", "category": "bio", "explanation": None}
    url = scripted(answer_of(stop_reason="refusal", stop_details=details), content_type="application/json")

    answer = ask(start_service(url), photo).json()

    assert answer["cost"]["total_usd"] == 0
    assert answer["stop_details"] == details


@pytest.mark.parametrize("usage", [{}, {"input_tokens": None, "output_tokens": 1}, {"input_tokens": "many"}])
def test_a_bill_that_cannot_be_read_is_null_and_not_zero(
    scripted: Callable[..., str], start_service: StartService, photo: Maker, usage: dict[str, Any]
) -> None:
    url = scripted(answer_of(usage=usage), content_type="application/json")

    assert ask(start_service(url), photo).json()["cost"]["total_usd"] is None


def test_the_operator_s_key_in_an_upstream_error_does_not_reach_the_caller(
    scripted: Callable[..., str], start_service: StartService, photo: Maker
) -> None:
    error = {"type": "error", "error": {"type": "authentication_error", "message": "bad key sk-operator-secret"}}
    url = scripted(json.dumps(error).encode(), 401, content_type="application/json")
    service = start_service(url, anthropic_api_key="sk-operator-secret")

    native = ask(service, photo)
    drop_in = service.post("/v1/messages", json={"model": MODEL, "max_tokens": 1, "messages": []})

    assert (native.status_code, drop_in.status_code) == (401, 401)
    assert "sk-operator-secret" not in native.text + drop_in.text


@pytest.mark.parametrize("value", ["nan", "inf", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_an_odd_retry_after_does_no_harm(
    scripted: Callable[..., str], start_service: StartService, photo: Maker, value: str
) -> None:
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    url = scripted(json.dumps(error).encode(), 429, content_type="application/json", retry_after=value)

    assert ask(start_service(url), photo).status_code == 429


def test_lines_in_streamed_text_stay_within_their_event(
    scripted: Callable[..., str], start_service: StartService, photo: Maker
) -> None:
    text = "a\nb\u2028c\u2029d\u0085e"
    events = [
        {"type": "message_start", "message": json.loads(answer_of())},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "first "}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    url = scripted((stream + "data: [DONE]\n\n").encode(), content_type="text/event-stream")

    lines = ask(start_service(url), photo, stream="true").text.splitlines()

    data = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert [event["text"] for event in data if set(event) == {"text"}] == ["first ", text]
    assert data[-1]["text"] == f"first {text}"


START = {"type": "message_start", "message": json.loads(answer_of())}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": None}


def sse(*events: dict[str, Any]) -> bytes:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


@pytest.mark.parametrize("content", [b"", sse(START), sse(START) + b"event: content_block_delta\nda"])
def test_a_relayed_stream_that_ends_too_early_says_so(
    scripted: Callable[..., str], start_service: StartService, content: bytes
) -> None:
    service = start_service(scripted(content, content_type="text/event-stream"))

    text = service.post("/v1/messages", json={"model": MODEL, "max_tokens": 1, "messages": [], "stream": True}).text

    assert [line for line in text.splitlines() if line.startswith("event: ")][-1] == "event: error"


def test_a_relayed_stream_without_usage_passes_whole(scripted: Callable[..., str], start_service: StartService) -> None:
    content = sse(START, DELTA, {"type": "message_stop"})
    service = start_service(scripted(content, content_type="text/event-stream"))

    text = service.post("/v1/messages", json={"model": MODEL, "max_tokens": 1, "messages": [], "stream": True}).text

    assert text.splitlines()[-3:-1] == ["event: message_stop", 'data: {"type": "message_stop"}']


def test_the_operator_s_key_in_a_header_of_the_vendor_s_does_not_reach_the_caller(
    scripted: Callable[..., str], start_service: StartService
) -> None:
    url = scripted(answer_of(), content_type="application/json", anthropic_echo="sk-operator-secret")
    service = start_service(url, anthropic_api_key="sk-operator-secret")

    response = service.post("/v1/messages", json={"model": MODEL, "max_tokens": 1, "messages": []})

    assert response.headers["anthropic-echo"] == "[redacted]"


def test_a_redirect_of_the_upstream_is_not_followed(
    scripted: Callable[..., str], start_service: StartService, photo: Maker
) -> None:
    """Followed, it would end in 502: nothing listens there."""
    url = scripted(b"", 307, location="http://127.0.0.1:9/elsewhere")

    assert ask(start_service(url, upstream_max_retries=0), photo).status_code == 307


def test_a_body_of_a_million_fields_is_refused_before_they_are_looked_at(service: httpx2.Client) -> None:
    body = b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}"

    response = service.post("/v1/analyze", content=body, headers={"content-type": "application/json"})

    assert code_of(response) == "invalid_request"
    assert response.json()["error"]["message"] == "the JSON has more than 10000 members"
