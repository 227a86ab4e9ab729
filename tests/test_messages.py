"""POST /v1/messages and count_tokens: what reaches the vendor, and what comes back."""

import base64
import gzip
import json
from collections.abc import Callable, Generator
from typing import Any

import anthropic
import httpx2
import pytest
from backports import zstd

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]

MODEL = "claude-sonnet-5-5"


def block(picture: bytes, media_type: str = "image/jpeg", **more: Any) -> dict[str, Any]:
    data = base64.b64encode(picture).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}, **more}


def request(*content: Any, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 400, "messages": [{"role": "user", "content": list(content)}], **more}


def sent_blocks(wire: Any) -> list[dict[str, Any]]:
    return wire.last_request["messages"][0]["content"]


def test_an_answer_comes_back_as_the_vendor_said_it_plus_the_cost(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker
) -> None:
    body = request(block(photo(640, 480)), {"type": "text", "text": "What is it?"})

    through, direct = service.post("/v1/messages", json=body), sandbox.post("/v1/messages", json=body)

    answer, original = through.json(), direct.json()
    cost = answer["usage"].pop("cost")
    assert {**answer, "id": ""} == {**original, "id": ""}
    assert list(through.json()) == list(original)
    assert cost == pytest.approx(
        (original["usage"]["input_tokens"] * 2 + original["usage"]["output_tokens"] * 10) / 1e6
    )
    assert through.headers["x-vision-proxy-cost-usd"] == str(cost)
    assert through.headers["x-vision-proxy-image-tokens"] == "414"
    assert through.headers["request-id"].startswith("req_sandbox_")
    assert through.headers["x-vision-proxy-request-id"].startswith("req_")
    assert "anthropic-ratelimit-requests-limit" in through.headers
    assert "normalize;dur=" in through.headers["server-timing"]


def test_a_body_without_pictures_travels_byte_for_byte(recorded: httpx2.Client, wire: Any) -> None:
    body = b'{ "max_tokens":1e2, "model" : "claude-sonnet-5-5",\n "messages":[{"content":"\\u00e9","role":"user"}] }'

    recorded.post("/v1/messages", content=body, headers={"content-type": "application/json"})

    assert wire.bodies == [body]


def test_around_a_picture_every_field_keeps_its_order_and_spelling(
    recorded: httpx2.Client, wire: Any, photo: Maker
) -> None:
    source = json.dumps(block(photo(3000, 2000))["source"])
    body = (
        '{"messages":[{"role":"user","x_unknown":1.50,"content":[{"cache_control":{"type":"ephemeral"},"type":"image",'
        '"source":' + source + '},{"type":"x_new_block","n":1e3}]}],"model":"claude-sonnet-5-5","max_tokens":10}'
    )

    recorded.post("/v1/messages", content=body, headers={"content-type": "application/json"})

    sent = wire.bodies[-1].decode()
    data = sent_blocks(wire)[0]["source"]["data"]
    expected = body.replace(json.loads(source)["data"], data).replace(": ", ":").replace(", ", ",")
    assert sent == expected


def test_a_picture_within_all_limits_keeps_its_exact_source(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    original = block(photo(640, 480))

    recorded.post("/v1/messages", json=request(original))

    assert sent_blocks(wire) == [original]


def test_an_untouched_source_keeps_the_order_and_the_white_space_of_its_keys(
    recorded: httpx2.Client, wire: Any, photo: Maker
) -> None:
    data = base64.b64encode(photo(64, 48)).decode()
    source = f'{{"data": "{data}",  "media_type": "image/jpeg", "type": "base64"}}'
    content = f'{{"messages":[{{"role":"user","content":[{{"type":"image","source":{source}}}]}}],"model":"{MODEL}"}}'

    recorded.post("/v1/messages", content=content, headers={"content-type": "application/json"})

    assert wire.bodies[-1].decode() == content


@pytest.mark.parametrize("label", ["image/png", "image/jpg"])
def test_a_wrong_label_is_set_right(recorded: httpx2.Client, wire: Any, photo: Maker, label: str) -> None:
    response = recorded.post("/v1/messages", json=request(block(photo(640, 480), label)))

    assert response.status_code == 200
    assert sent_blocks(wire)[0]["source"]["media_type"] == "image/jpeg"


def test_queries_and_anthropic_headers_go_on_and_the_client_s_key_does_not(
    service: httpx2.Client, sandbox: httpx2.Client, case: str
) -> None:
    headers = {
        "anthropic-beta": "context-management-2025-06-27",
        "anthropic-version": "2023-06-01",
        "x-api-key": "the-client-s-own-key",
        "x-vision-proxy-sandbox-case": case,
    }
    service.post("/v1/messages?beta=true", json=request({"type": "text", "text": "hi"}), headers=headers)

    journal = sandbox.get("/sandbox/journal").json()
    visit = next(visit for visit in journal if visit["headers"].get("x-vision-proxy-sandbox-case") == case)
    assert visit["headers"]["anthropic-beta"] == "context-management-2025-06-27"
    assert visit["headers"]["anthropic-version"] == "2023-06-01"
    assert "the-client-s-own-key" not in json.dumps(visit)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_body_is_decoded(service: httpx2.Client, encoding: str) -> None:
    body = json.dumps(request({"type": "text", "text": "hi"})).encode()
    packed = gzip.compress(body) if encoding == "gzip" else zstd.compress(body)

    response = service.post(
        "/v1/messages", content=packed, headers={"content-encoding": encoding, "content-type": "application/json"}
    )

    assert response.status_code == 200


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_compressed_body_may_have_several_members(service: httpx2.Client, pack: Callable[[bytes], bytes]) -> None:
    body = json.dumps(request({"type": "text", "text": "hi"})).encode()
    encoding = "gzip" if pack is gzip.compress else "zstd"

    response = service.post(
        "/v1/messages", content=pack(body[:40]) + pack(body[40:]), headers={"content-encoding": encoding}
    )

    assert response.status_code == 200


def test_a_compressed_body_cut_short_is_refused(service: httpx2.Client) -> None:
    packed = gzip.compress(json.dumps(request({"type": "text", "text": "hi"})).encode())

    response = service.post("/v1/messages", content=packed[:-9], headers={"content-encoding": "gzip"})

    assert response.json()["error"]["message"] == "the gzip body is cut short"


def test_a_header_sent_twice_goes_on_with_both_values(
    service: httpx2.Client, sandbox: httpx2.Client, case: str
) -> None:
    headers = [("anthropic-beta", "a-1"), ("anthropic-beta", "b-2"), ("x-vision-proxy-sandbox-case", case)]
    service.post("/v1/messages", json=request({"type": "text", "text": "hi"}), headers=headers)

    journal = sandbox.get("/sandbox/journal").json()
    visit = next(visit for visit in journal if visit["headers"].get("x-vision-proxy-sandbox-case") == case)
    assert visit["headers"]["anthropic-beta"] == "a-1, b-2"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_body_counts_decoded_against_the_cap(start_service: StartService, encoding: str) -> None:
    service = start_service(max_body_bytes=1_000_000)
    bomb = b'{"model":"' + b"x" * 50_000_000
    packed = gzip.compress(bomb) if encoding == "gzip" else zstd.compress(bomb)

    response = service.post("/v1/messages", content=packed, headers={"content-encoding": encoding})

    assert (response.status_code, response.json()["error"]["details"]["error_code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("gzip", "the body is not valid gzip"), ("br", "content-encoding 'br' is not read here")],
)
def test_an_encoding_that_cannot_be_read_is_refused(service: httpx2.Client, encoding: str, message: str) -> None:
    response = service.post("/v1/messages", content=b"{}", headers={"content-encoding": encoding})

    assert response.json()["error"]["message"] == message


def test_the_vendor_s_refusal_comes_back_as_it_was(service: httpx2.Client, sandbox: httpx2.Client) -> None:
    body = request({"type": "text", "text": "hi"}, nonsense=1)

    through, direct = service.post("/v1/messages", json=body), sandbox.post("/v1/messages", json=body)

    assert through.status_code == direct.status_code == 400
    assert through.json()["error"] == direct.json()["error"]


def test_the_report_is_in_the_body_where_asked_for(service: httpx2.Client, photo: Maker) -> None:
    response = service.post(
        "/v1/messages", json=request(block(photo(3000, 2000))), headers={"x-vision-proxy-report": "full"}
    )

    [image] = response.json()["images"]
    assert (image["sent"]["width_px"], image["source"]) == (2352, "message")


def test_count_tokens_counts_the_prepared_pictures(service: httpx2.Client, photo: Maker) -> None:
    body = request(block(photo(9000, 300)))
    del body["max_tokens"]

    counted = service.post("/v1/messages/count_tokens", json=body)

    assert counted.status_code == 200
    assert counted.json()["input_tokens"] > 92 * 4
    assert "cost" not in counted.text


@pytest.fixture
def sdk(service: httpx2.Client) -> Generator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=str(service.base_url), api_key="any", max_retries=0) as client:
        yield client


def test_the_official_sdk_streams_and_finds_the_cost_in_the_last_delta(sdk: anthropic.Anthropic, photo: Maker) -> None:
    with sdk.messages.stream(**request(block(photo(3000, 2000)))) as stream:
        events = list(stream)
        message = stream.get_final_message()

    deltas = [event for event in events if event.type == "message_delta"]
    assert message.content[0].type == "text"
    assert deltas[-1].usage.model_extra is not None
    assert deltas[-1].usage.model_extra["cost"] > 0.0094


def test_a_stream_is_relayed_event_by_event(service: httpx2.Client, sandbox: httpx2.Client, photo: Maker) -> None:
    body = request(block(photo(64, 48)), stream=True)

    through, direct = service.post("/v1/messages", json=body), sandbox.post("/v1/messages", json=body)

    def names(text: str) -> list[str]:
        return [line[7:] for line in text.splitlines() if line.startswith("event: ")]

    assert names(through.text) == names(direct.text)
    assert through.headers["content-type"] == direct.headers["content-type"]


def test_the_report_of_a_stream_comes_before_its_end(service: httpx2.Client, photo: Maker) -> None:
    body = request(block(photo(64, 48)), stream=True)

    text = service.post("/v1/messages", json=body, headers={"x-vision-proxy-report": "full"}).text

    names = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
    assert names[-2:] == ["vision_proxy.report", "message_stop"]


@pytest.mark.parametrize("fault", ["cut", "error-event"])
def test_a_stream_that_breaks_ends_with_an_error_event(service: httpx2.Client, photo: Maker, fault: str) -> None:
    body = request(block(photo(64, 48)), stream=True)

    text = service.post("/v1/messages", json=body, headers={"x-vision-proxy-sandbox-fault": fault}).text

    names = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
    assert names[-1] == "error"


@pytest.mark.parametrize("steady", ["setting", "cache_control"])
def test_a_growing_conversation_keeps_every_earlier_picture(
    wire: Any, recorded: httpx2.Client, start_service: StartService, photo: Maker, steady: str
) -> None:
    """1 to 40 screenshots of 2300 px, one by one: the 21st must not rewrite the 20 before it."""
    service = start_service(str(recorded.base_url), steady=True) if steady == "setting" else recorded
    more = {"cache_control": {"type": "ephemeral"}} if steady == "cache_control" else {}
    blocks = [block(photo(2300, 40 + number)) for number in range(40)]

    for count in range(1, 41):
        assert service.post("/v1/messages", json=request(*blocks[:count], **more)).status_code == 200

    growing = [[sent["source"]["data"] for sent in json.loads(body)["messages"][0]["content"]] for body in wire.bodies]
    assert [len(sources) for sources in growing] == list(range(1, 41))
    assert [sources == growing[-1][: len(sources)] for sources in growing] == [True] * 40


def test_without_steadiness_the_21st_picture_brings_the_stricter_limit(
    recorded: httpx2.Client, wire: Any, photo: Maker
) -> None:
    wide = block(photo(2300, 120))

    recorded.post("/v1/messages", json=request(wide))
    recorded.post("/v1/messages", json=request(*[wide] * 21))

    assert json.loads(wire.bodies[0])["messages"][0]["content"][0] == wide
    assert json.loads(wire.bodies[1])["messages"][0]["content"][0] != wide


def test_what_cannot_be_prepared_is_refused_in_the_vendor_s_envelope(sdk: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        sdk.messages.create(**request(block(b"%PDF-1.7")))

    assert raised.value.error_code == "unsupported_format"
    assert raised.value.api_message is not None
    assert raised.value.api_message.startswith("image 1: a PDF document; send JPEG")
