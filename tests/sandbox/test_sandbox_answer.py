"""What is answered, whole and as a stream, by hand and through the official SDK."""

import json
from io import BytesIO

import anthropic
import httpx2
import pytest
from anthropic.types.image_dimensions_too_large_error import ImageDimensionsTooLargeError
from PIL import Image

from app.domain import Json
from tests.sandbox.pictures import Answer, image_block, message_body, picture, text_block

OPENING = (
    "[sandbox] No model ran. This is an offline stand-in for the Claude API: nothing in this request was read or "
    "understood, and what follows was only measured."
)


def test_the_answer_tells_what_was_measured_and_nothing_else(client: httpx2.Client) -> None:
    png, webp = picture(2000, 1500), two_colours()

    answer = client.post(
        "/v1/messages",
        json=message_body(
            image_block(png), image_block(webp, "image/webp"), text_block("what?"), model="claude-haiku-4-5"
        ),
    ).json()

    assert answer["content"] == [
        {
            "type": "text",
            "text": f"{OPENING}\n"
            f"Image 1: PNG, sent as 2000x1500 px, {len(png)} bytes; the model would see 1270x952 px for 1564 tokens; "
            "main colours #204080 100 %.\n"
            f"Image 2: WEBP, sent as 40x10 px, {len(webp)} bytes; the model would see 40x10 px for 2 tokens; "
            "main colours #ffffff 75 %, #ff0000 25 %.\n"
            "The prompt had 5 characters of text.",
        }
    ]
    assert {name: answer[name] for name in ("type", "role", "model", "stop_reason", "stop_sequence")} == {
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    assert answer["id"].startswith("msg_sandbox_")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_every_kind_of_pixel_can_be_measured(client: httpx2.Client, mode: str) -> None:
    file = BytesIO()
    kind = "JPEG" if mode == "CMYK" else "PNG"
    Image.new(mode, (100, 100)).save(file, kind)

    answer = client.post("/v1/messages", json=message_body(image_block(file.getvalue(), f"image/{kind.lower()}")))

    assert "100 %" in answer.json()["content"][0]["text"]


def test_the_answer_stops_at_max_tokens(client: httpx2.Client) -> None:
    answer = client.post("/v1/messages", json=message_body(text_block("x"), max_tokens=2)).json()

    assert (answer["content"][0]["text"], answer["stop_reason"], answer["usage"]["output_tokens"]) == (
        "[sandbox",
        "max_tokens",
        2,
    )


def test_the_answer_stops_before_the_first_stop_sequence(client: httpx2.Client) -> None:
    answer = client.post("/v1/messages", json=message_body(text_block("x"), stop_sequences=["ran", " model"])).json()

    assert (answer["content"][0]["text"], answer["stop_reason"], answer["stop_sequence"]) == (
        "[sandbox] No",
        "stop_sequence",
        " model",
    )


def test_an_answer_without_a_word_costs_one_token(client: httpx2.Client) -> None:
    answer = client.post("/v1/messages", json=message_body(text_block("x"), stop_sequences=["[sandbox]"])).json()

    assert (answer["content"], answer["usage"]["output_tokens"]) == ([], 1)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("claude-opus-5", "claude-opus-5"), ("claude-opus-4-5", "claude-opus-4-5-20251101")],
)
def test_the_answer_names_the_model_by_its_full_id(client: httpx2.Client, asked: str, answered: str) -> None:
    assert client.post("/v1/messages", json=message_body(text_block("x"), model=asked)).json()["model"] == answered


def test_a_thinking_block_comes_first_where_thinking_was_asked_for(client: httpx2.Client) -> None:
    answer = client.post("/v1/messages", json=message_body(text_block("x"), thinking={"type": "adaptive"})).json()

    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]
    assert (answer["content"][0]["thinking"], bool(answer["content"][0]["signature"])) == ("", True)


def test_a_stream_has_the_vendors_events_in_the_vendors_order(client: httpx2.Client) -> None:
    body = message_body(text_block("x"), thinking={"type": "adaptive"}, stream=True)

    answer = client.post("/v1/messages", json=body)
    events = parsed(answer.text)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert without_repeats([event["type"] for event in events]) == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert sum(event["type"] == "content_block_delta" for event in events) > 3


def test_a_stream_begins_with_the_input_and_ends_with_the_whole_bill(client: httpx2.Client) -> None:
    body = message_body(text_block("hello"))

    whole = client.post("/v1/messages", json=body).json()["usage"]
    events = parsed(client.post("/v1/messages", json={**body, "stream": True}).text)

    assert events[0]["message"]["usage"] == {**whole, "output_tokens": 1}
    assert events[-2]["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": whole["output_tokens"],
        "output_tokens_details": {"thinking_tokens": 0},
        "server_tool_use": None,
    }


@pytest.mark.parametrize("fields", [{}, {"max_tokens": 5}, {"stop_sequences": ["offline"]}])
def test_a_stream_puts_together_the_same_answer(client: httpx2.Client, fields: dict[str, Json]) -> None:
    body = message_body(image_block(picture(30, 20)), **fields)

    whole = client.post("/v1/messages", json=body).json()
    events = parsed(client.post("/v1/messages", json={**body, "stream": True}).text)

    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert text == whole["content"][0]["text"]
    assert events[-2]["delta"] == {
        "stop_reason": whole["stop_reason"],
        "stop_sequence": whole["stop_sequence"],
        "stop_details": None,
    }


def test_the_official_sdk_creates_streams_counts_and_lists(sandbox_url: str) -> None:
    with anthropic.Anthropic(api_key="k", base_url=sandbox_url, max_retries=0) as sdk:
        created = sdk.messages.create(
            model="claude-sonnet-5-5", max_tokens=500, messages=[{"role": "user", "content": "hello"}]
        )
        with sdk.messages.stream(
            model="claude-sonnet-5-5", max_tokens=500, messages=[{"role": "user", "content": "hello"}]
        ) as stream:
            streamed = stream.get_final_message()
        counted = sdk.messages.count_tokens(model="claude-sonnet-5-5", messages=[{"role": "user", "content": "hello"}])
        listed = [model.id for model in sdk.models.list(limit=3)]
        shown = sdk.models.retrieve("claude-haiku-5-5")

    assert [block.to_dict() for block in created.content] == [block.to_dict() for block in streamed.content]
    assert created.usage.input_tokens == streamed.usage.input_tokens == counted.input_tokens == 10
    assert created.usage.output_tokens == streamed.usage.output_tokens
    assert len(listed) == len(set(listed)) > 3
    assert (shown.max_input_tokens, shown.display_name) == (1_000_000, "Claude Haiku 5.5")


def test_the_official_sdk_raises_its_own_error_for_sides_that_are_too_long(sandbox_url: str) -> None:
    with (
        anthropic.Anthropic(api_key="k", base_url=sandbox_url, max_retries=0) as sdk,
        pytest.raises(ImageDimensionsTooLargeError) as raised,
    ):
        sdk.post("/v1/messages", body=message_body(image_block(picture(8001, 1))), cast_to=anthropic.types.Message)

    assert raised.value.details.paths == ["messages.0.content.0"]
    assert raised.value.request_id is not None


def two_colours() -> bytes:
    image = Image.new("RGBA", (40, 10), "#ff0000")
    image.paste((0, 0, 0, 0), (10, 0, 40, 10))
    file = BytesIO()
    image.save(file, "WEBP", lossless=True)
    return file.getvalue()


def parsed(stream: str) -> list[Answer]:
    """The data of every event, whose name must be its type."""
    events: list[Answer] = []
    for block in stream.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def without_repeats(names: list[object]) -> list[object]:
    return [name for index, name in enumerate(names) if index == 0 or name != names[index - 1]]
