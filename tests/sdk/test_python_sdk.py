"""The official Python SDK, unchanged but for its `base_url`, in front of the service on a real port."""

import base64
import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal

import anthropic
import httpx2
import pytest
from anthropic.types import ImageBlockParam, ImageDimensionsTooLargeError, Message, MessageParam, ToolParam
from pydantic import BaseModel

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]
MediaType = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]

MODEL = "claude-sonnet-5-5"
SCREENSHOT: ToolParam = {"name": "screenshot", "description": "The screen", "input_schema": {"type": "object"}}


class Receipt(BaseModel):
    """What the structured answers of these tests hold."""

    shop: str
    total_usd: float


RECEIPT = Receipt(shop="Corner Café", total_usd=12.5)


def image(picture: bytes, media_type: MediaType = "image/jpeg") -> ImageBlockParam:
    data = base64.b64encode(picture).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def asked(*pictures: ImageBlockParam) -> list[MessageParam]:
    return [{"role": "user", "content": [*pictures, {"type": "text", "text": "What is it?"}]}]


def fault(name: str, case: str = "") -> dict[str, str]:
    return {"x-vision-proxy-sandbox-fault": name, "x-vision-proxy-sandbox-case": case}


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def cost_of(message: Message) -> float:
    return (message.usage.model_extra or {})["cost"]


@pytest.fixture
def recorded_sdk(recorded: httpx2.Client) -> Generator[anthropic.Anthropic]:
    """A client of a service whose upstream bodies `wire` records."""
    with anthropic.Anthropic(base_url=str(recorded.base_url), api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def unretried_url(start_service: StartService) -> str:
    """A service that leaves every retry to its client."""
    return str(start_service(upstream_max_retries=0).base_url)


def test_create_gives_a_message_with_its_cost(sdk: anthropic.Anthropic, photo: Maker) -> None:
    message = sdk.messages.create(model=MODEL, max_tokens=400, messages=asked(image(photo(3000, 2000))))

    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert "sent as 2352x1568 px" in text_of(message)
    assert cost_of(message) == pytest.approx((message.usage.input_tokens * 2 + message.usage.output_tokens * 10) / 1e6)


def test_a_wrong_label_and_a_format_the_vendor_refuses_go_through(sdk: anthropic.Anthropic, photo: Maker) -> None:
    pictures = [image(photo(64, 48), "image/png"), image(photo(64, 48, "TIFF"), "image/png")]

    message = sdk.messages.create(model=MODEL, max_tokens=400, messages=asked(*pictures))

    assert "Image 2: " in text_of(message)


def test_the_sdk_s_own_reading_of_a_file_is_prepared_too(
    sdk: anthropic.Anthropic, photo: Maker, tmp_path: Path
) -> None:
    path = tmp_path / "scan.jpg"
    path.write_bytes(photo(9000, 300))
    block: ImageBlockParam = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": path}}

    message = sdk.messages.create(model=MODEL, max_tokens=400, messages=asked(block))

    assert "sent as 2576x86 px" in text_of(message)


def test_create_with_stream_gives_the_vendor_s_events(sdk: anthropic.Anthropic, photo: Maker) -> None:
    with sdk.messages.create(model=MODEL, max_tokens=20, messages=asked(image(photo(64, 48))), stream=True) as stream:
        kinds = [event.type for event in stream]

    deltas = ["content_block_delta"] * (len(kinds) - 5)
    opening, closing = ["message_start", "content_block_start"], ["content_block_stop", "message_delta", "message_stop"]
    assert kinds == [*opening, *deltas, *closing]


def test_stream_gives_the_text_piece_by_piece_and_the_whole_message(sdk: anthropic.Anthropic, photo: Maker) -> None:
    with sdk.messages.stream(model=MODEL, max_tokens=400, messages=asked(image(photo(3000, 2000)))) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()

    assert len(pieces) > 1
    assert "".join(pieces) == text_of(message)
    assert "sent as 2352x1568 px" in text_of(message)


def test_the_cost_of_a_stream_is_in_its_last_delta(sdk: anthropic.Anthropic, photo: Maker) -> None:
    """The SDK gathers only the fields it knows into the final message, so `cost` is there in the event alone."""
    with sdk.messages.stream(model=MODEL, max_tokens=400, messages=asked(image(photo(64, 48)))) as stream:
        [delta] = [event for event in stream if event.type == "message_delta"]
        usage = stream.get_final_message().usage

    cost_usd = (delta.usage.model_extra or {})["cost"]
    assert cost_usd == pytest.approx((usage.input_tokens * 2 + usage.output_tokens * 10) / 1e6)


def test_the_stream_helper_passes_over_the_report_of_ours(sdk: anthropic.Anthropic, photo: Maker) -> None:
    with sdk.messages.stream(
        model=MODEL,
        max_tokens=400,
        messages=asked(image(photo(64, 48))),
        extra_headers={"x-vision-proxy-report": "full"},
    ) as stream:
        message = stream.get_final_message()

    assert message.stop_reason == "end_turn"


def test_thinking_comes_back_with_its_signature(sdk: anthropic.Anthropic) -> None:
    message = sdk.messages.create(model=MODEL, max_tokens=400, messages=asked(), thinking={"type": "adaptive"})

    [thinking, _] = message.content
    assert (thinking.type, getattr(thinking, "signature", None)) == ("thinking", "sandbox-signature")


@pytest.fixture
def answering_sdk(scripted: Callable[..., str], start_service: StartService) -> Generator[anthropic.Anthropic]:
    """A client whose model answers with a receipt: the sandbox has no model that could fill a schema."""
    answer = {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": RECEIPT.model_dump_json()}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }
    service = start_service(scripted(json.dumps(answer).encode(), content_type="application/json"))
    with anthropic.Anthropic(base_url=str(service.base_url), api_key="any", max_retries=0) as client:
        yield client


def test_parse_gives_an_instance_of_the_class(answering_sdk: anthropic.Anthropic, photo: Maker) -> None:
    message = answering_sdk.messages.parse(
        model=MODEL, max_tokens=400, messages=asked(image(photo(64, 48))), output_format=Receipt
    )

    assert message.parsed_output == RECEIPT
    assert cost_of(message) == 0.0004


def test_the_schema_of_parse_reaches_the_vendor(recorded_sdk: anthropic.Anthropic, wire: Any, photo: Maker) -> None:
    message = recorded_sdk.messages.parse(
        model=MODEL, max_tokens=400, messages=asked(image(photo(64, 48))), output_format=Receipt
    )

    assert isinstance(message.parsed_output, Receipt)
    sent = json.loads(wire.bodies[-1])["output_config"]["format"]
    assert (sent["type"], sorted(sent["schema"]["properties"])) == ("json_schema", ["shop", "total_usd"])


def test_a_screenshot_in_a_tool_result_is_prepared_and_its_frame_left_alone(
    recorded_sdk: anthropic.Anthropic, wire: Any, photo: Maker
) -> None:
    tool_use: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "screenshot", "input": {"screen": 1}}
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": False}
    messages: list[Any] = [
        {"role": "user", "content": "Look at the screen."},
        {"role": "assistant", "content": [tool_use]},
        {"role": "user", "content": [{**result, "content": [image(photo(9000, 300), "image/png")]}]},
    ]

    message = recorded_sdk.messages.create(model=MODEL, max_tokens=400, messages=messages, tools=[SCREENSHOT])

    sent = json.loads(wire.bodies[-1])
    [sent_result] = sent["messages"][2]["content"]
    [sent_image] = sent_result.pop("content")
    assert "sent as 2576x86 px" in text_of(message)
    assert (sent["messages"][:2], sent_result, sent["tools"]) == (messages[:2], result, [SCREENSHOT])
    assert sent_image["source"]["media_type"] == "image/jpeg"


def test_count_tokens_is_what_the_message_is_billed(sdk: anthropic.Anthropic, photo: Maker) -> None:
    messages = asked(image(photo(9000, 300)))

    counted = sdk.messages.count_tokens(model=MODEL, messages=messages)

    billed = sdk.messages.create(model=MODEL, max_tokens=10, messages=messages)
    assert counted.input_tokens == billed.usage.input_tokens


def test_a_raw_response_has_the_vendor_s_headers_and_ours(sdk: anthropic.Anthropic, photo: Maker) -> None:
    raw = sdk.messages.with_raw_response.create(model=MODEL, max_tokens=400, messages=asked(image(photo(64, 48))))

    message = raw.parse()
    assert raw.headers["request-id"].startswith("req_sandbox_")
    assert raw.request_id == raw.headers["request-id"]
    assert float(raw.headers["x-vision-proxy-cost-usd"]) == cost_of(message)
    assert raw.headers["x-vision-proxy-image-tokens"] == "6"
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "1000"


def test_a_streaming_response_is_read_when_it_is_wanted(sdk: anthropic.Anthropic, photo: Maker) -> None:
    with sdk.messages.with_streaming_response.create(
        model=MODEL, max_tokens=400, messages=asked(image(photo(64, 48)))
    ) as response:
        headers = response.headers
        message = response.parse()

    assert float(headers["x-vision-proxy-cost-usd"]) == cost_of(message)


def test_a_streaming_response_gives_the_lines_of_a_stream(sdk: anthropic.Anthropic) -> None:
    with sdk.messages.with_streaming_response.create(
        model=MODEL, max_tokens=20, messages=asked(), stream=True
    ) as response:
        lines = list(response.iter_lines())

    assert (lines[0], lines[-3]) == ("event: message_start", "event: message_stop")


def test_models_are_listed_over_pages_and_each_says_what_it_sees(
    sdk: anthropic.Anthropic, sandbox: httpx2.Client
) -> None:
    models = list(sdk.models.list(limit=3))

    assert [model.id for model in models] == [model["id"] for model in sandbox.get("/v1/models").json()["data"]]
    assert len(models) > 3
    assert all("max_long_edge_px" in (model.model_extra or {})["vision"] for model in models)


def test_one_model_is_retrieved(sdk: anthropic.Anthropic) -> None:
    model = sdk.models.retrieve(MODEL)

    assert (model.id, (model.model_extra or {})["vision"]["max_long_edge_px"]) == (MODEL, 2576)


def test_beta_messages_keep_their_query_their_header_and_their_fields(
    recorded_sdk: anthropic.Anthropic, wire: Any, photo: Maker
) -> None:
    """The sandbox takes `context_management` only beside an `anthropic-beta` header; older SDKs send `?beta=true`."""
    message = recorded_sdk.beta.messages.create(
        model=MODEL,
        max_tokens=400,
        messages=[{"role": "user", "content": [image(photo(64, 48), "image/png")]}],
        betas=["context-management-2025-06-27"],
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
        extra_query={"beta": "true"},
    )

    assert wire.targets == ["/v1/messages?beta=true"]
    assert json.loads(wire.bodies[-1])["context_management"] == {"edits": [{"type": "clear_tool_uses_20250919"}]}
    assert (message.usage.model_extra or {})["cost"] > 0


def test_beta_messages_stream(sdk: anthropic.Anthropic, photo: Maker) -> None:
    with sdk.beta.messages.stream(
        model=MODEL, max_tokens=400, messages=[{"role": "user", "content": [image(photo(64, 48), "image/png")]}]
    ) as stream:
        text = "".join(stream.text_stream)

    assert "Image 1: JPEG, sent as 64x48 px" in text


def test_a_refusal_of_ours_is_a_bad_request_with_its_code(sdk: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        sdk.messages.create(model=MODEL, max_tokens=400, messages=asked(image(b"%PDF-1.7")))

    assert (raised.value.error_code, raised.value.type) == ("unsupported_format", "invalid_request_error")
    assert raised.value.details is not None
    assert raised.value.request_id == raised.value.response.headers["x-vision-proxy-request-id"]


def test_a_refusal_of_the_vendor_s_keeps_its_words_and_its_request_id(sdk: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as raised:
        sdk.messages.create(model="claude-nonesuch-1", max_tokens=400, messages=asked())

    assert (raised.value.api_message, raised.value.type) == ("model: claude-nonesuch-1", "not_found_error")
    assert (raised.value.request_id or "").startswith("req_sandbox_")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("400-spend", anthropic.BadRequestError),
        ("403", anthropic.PermissionDeniedError),
        ("409", anthropic.ConflictError),
        ("429", anthropic.RateLimitError),
        ("429-spend", anthropic.EnforcedSpendLimitReachedError),
        ("500", anthropic.InternalServerError),
        ("504", anthropic.GatewayTimeoutError),
        ("529", anthropic.OverloadedError),
        ("dimensions", ImageDimensionsTooLargeError),
    ],
)
@pytest.mark.parametrize("way", ["create", "stream"])
def test_an_error_of_the_vendor_s_is_raised_as_its_type(
    sdk: anthropic.Anthropic, photo: Maker, name: str, kind: type[anthropic.APIStatusError], way: str
) -> None:
    asks: dict[str, Any] = {"model": MODEL, "max_tokens": 400, "messages": asked(image(photo(64, 48)))}

    with pytest.raises(anthropic.APIStatusError) as raised:
        sdk.messages.create(**asks, stream=way == "stream", extra_headers=fault(f"{name};retry-after=3600"))

    assert type(raised.value) is kind
    assert (raised.value.request_id or "").startswith("req_sandbox_")


def test_an_error_inside_a_stream_is_raised_from_it(sdk: anthropic.Anthropic) -> None:
    with (
        pytest.raises(anthropic.APIStatusError) as raised,
        sdk.messages.stream(
            model=MODEL, max_tokens=400, messages=asked(), extra_headers=fault("error-event")
        ) as stream,
    ):
        stream.until_done()

    assert raised.value.type == "overloaded_error"


@pytest.mark.parametrize(
    ("start", "kind", "code"),
    [
        ({"upstream_timeout_s": 0.2}, anthropic.GatewayTimeoutError, "upstream_timeout"),
        (
            {"base_url": "http://127.0.0.1:9", "upstream_max_retries": 0},
            anthropic.InternalServerError,
            "upstream_unreachable",
        ),
        ({"max_body_bytes": 1000}, anthropic.ContentTooLargeError, "body_too_large"),
        ({"admin_key": "a-key-of-sixteen-or-more"}, anthropic.AuthenticationError, "invalid_key"),
    ],
)
def test_what_fails_in_the_service_is_raised_as_its_type(
    start_service: StartService, photo: Maker, start: dict[str, Any], kind: type[anthropic.APIStatusError], code: str
) -> None:
    url = str(start_service(**start).base_url)
    with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as client, pytest.raises(kind) as raised:
        client.messages.create(
            model=MODEL, max_tokens=400, messages=asked(image(photo(640, 480))), extra_headers=fault("slow=60")
        )

    assert raised.value.error_code == code


def test_the_service_s_key_is_taken_as_the_sdk_sends_it(start_service: StartService) -> None:
    url = str(start_service(admin_key="a-key-of-sixteen-or-more").base_url)

    with anthropic.Anthropic(base_url=url, api_key="a-key-of-sixteen-or-more", max_retries=0) as client:
        message = client.messages.create(model=MODEL, max_tokens=400, messages=asked())

    assert message.stop_reason == "end_turn"


@pytest.mark.parametrize("status", ["429", "529"])
def test_the_sdk_s_own_retries_work_through_the_service(
    unretried_url: str, sandbox: httpx2.Client, case: str, status: str
) -> None:
    headers = fault(f"{status};retry-after=0.01;times=2", case)

    with anthropic.Anthropic(base_url=unretried_url, api_key="any", max_retries=2) as client:
        message = client.messages.create(model=MODEL, max_tokens=400, messages=asked(), extra_headers=headers)

    visits = [
        visit["status"]
        for visit in sandbox.get("/sandbox/journal").json()
        if visit["headers"].get("x-vision-proxy-sandbox-case") == case
    ]
    assert message.stop_reason == "end_turn"
    assert visits == [int(status), int(status), 200]


def test_a_client_that_runs_out_of_time_gets_its_own_timeout(sdk: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APITimeoutError):
        sdk.messages.create(model=MODEL, max_tokens=400, messages=asked(), timeout=0.2, extra_headers=fault("slow=60"))


@pytest.mark.anyio
async def test_the_asynchronous_client_creates(async_sdk: anthropic.AsyncAnthropic, photo: Maker) -> None:
    message = await async_sdk.messages.create(
        model=MODEL, max_tokens=400, messages=asked(image(photo(3000, 2000), "image/png"))
    )

    assert "sent as 2352x1568 px" in text_of(message)
    assert cost_of(message) > 0


@pytest.mark.anyio
async def test_the_asynchronous_client_streams(async_sdk: anthropic.AsyncAnthropic, photo: Maker) -> None:
    async with async_sdk.messages.stream(model=MODEL, max_tokens=400, messages=asked(image(photo(64, 48)))) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        message = await stream.get_final_message()

    assert text == text_of(message)
    assert "Image 1: JPEG, sent as 64x48 px" in text


@pytest.mark.anyio
async def test_the_asynchronous_client_counts_and_lists(async_sdk: anthropic.AsyncAnthropic) -> None:
    counted = await async_sdk.messages.count_tokens(model=MODEL, messages=asked())
    listed = [model.id async for model in async_sdk.models.list(limit=3)]

    assert counted.input_tokens == 11
    assert MODEL in listed


@pytest.mark.anyio
async def test_the_asynchronous_client_reads_the_headers(async_sdk: anthropic.AsyncAnthropic) -> None:
    raw = await async_sdk.messages.with_raw_response.create(model=MODEL, max_tokens=400, messages=asked())

    message = await raw.parse()
    assert float(raw.headers["x-vision-proxy-cost-usd"]) == cost_of(message)


@pytest.mark.anyio
async def test_the_asynchronous_client_raises_typed_errors(async_sdk: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        await async_sdk.messages.create(model=MODEL, max_tokens=400, messages=asked(image(b"%PDF-1.7")))

    assert raised.value.error_code == "unsupported_format"
