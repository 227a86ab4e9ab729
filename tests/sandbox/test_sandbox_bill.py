"""What a request costs, as `usage` says it. The overhead of a prompt is 8 tokens, four bytes of text are one."""

from uuid import uuid4

import httpx2
import pytest

from app.domain import Json
from tests.sandbox.pictures import MODEL, STANDARD_MODEL, image_block, message_body, picture, text_block

OVERHEAD = 8


@pytest.mark.parametrize(
    ("width", "height", "standard", "high"),
    [
        (200, 200, 64, 64),
        (1000, 1000, 1296, 1296),
        (1092, 1092, 1521, 1521),
        (1920, 1080, 1560, 2691),
        (2000, 1500, 1564, 3888),
        (3840, 2160, 1560, 4784),
        (1075, 1520, 1551, 2145),
    ],
)
def test_a_picture_costs_what_the_vendor_documents(
    client: httpx2.Client, width: int, height: int, standard: int, high: int
) -> None:
    block = image_block(picture(width, height))

    assert counted(client, message_body(block, model=STANDARD_MODEL)) == standard + OVERHEAD
    assert counted(client, message_body(block, model=MODEL)) == high + OVERHEAD


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("orientation", "tokens"), [(1, 560), (3, 560), (5, 560), (6, 560), (8, 560)])
def test_a_picture_on_its_side_is_billed_upright(
    client: httpx2.Client, kind: str, orientation: int, tokens: int
) -> None:
    block = image_block(picture(28 * 20, 28 * 28, kind=kind, orientation=orientation), f"image/{kind.lower()}")

    answer = client.post("/v1/messages", json=message_body(block)).json()

    assert answer["usage"]["input_tokens"] == tokens + OVERHEAD
    assert ("784x560 px when upright" in answer["content"][0]["text"]) is (orientation >= 5)


def test_texts_system_and_tools_are_counted_by_their_bytes(client: httpx2.Client) -> None:
    body = message_body(text_block("ab"), text_block("é"), system="12345", tools=[{"name": "f"}])

    # 12 bytes of {"name":"f"}, 5 of system, 2 and 2 of text: 21 bytes are 6 tokens.
    assert counted(client, body) == 6 + OVERHEAD


def test_a_count_is_the_input_of_the_message(client: httpx2.Client) -> None:
    body = message_body(image_block(picture(100, 100)), text_block("what is it?"), cache_control={"type": "ephemeral"})

    usage = client.post("/v1/messages", json=body).json()["usage"]

    assert counted(client, body) == total_input(usage)


@pytest.mark.parametrize("source", [{"type": "url", "url": "https://example.com/a"}, {"type": "file", "file_id": "f"}])
def test_a_count_fetches_nothing_and_counts_the_most(client: httpx2.Client, source: Json) -> None:
    assert counted(client, message_body({"type": "image", "source": source})) == 4784 + OVERHEAD


def test_usage_has_every_field(client: httpx2.Client) -> None:
    answer = client.post("/v1/messages", json=message_body(text_block("hello"))).json()

    assert answer["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": -(-len(answer["content"][0]["text"]) // 4),
        "output_tokens_details": {"thinking_tokens": 0},
        "server_tool_use": None,
        "service_tier": "standard",
        "speed": "standard",
        "inference_geo": "global",
    }


def test_speed_and_place_are_what_was_asked_for(client: httpx2.Client) -> None:
    usage = client.post("/v1/messages", json=message_body(text_block("x"), speed="fast", inference_geo="us")).json()[
        "usage"
    ]

    assert (usage["speed"], usage["inference_geo"]) == ("fast", "us")


@pytest.mark.parametrize(("ttl", "written"), [("5m", (46, 0)), ("1h", (0, 46))])
def test_a_prefix_is_written_to_the_cache_first_and_read_from_it_afterwards(
    client: httpx2.Client, ttl: str, written: tuple[int, int]
) -> None:
    # 36 tokens of picture and 40 bytes of text before the breakpoint, 8 bytes after it.
    prefix = [
        image_block(picture(168, 168)),
        text_block(unique_text(40), cache_control={"type": "ephemeral", "ttl": ttl}),
    ]

    first = client.post("/v1/messages", json=message_body(*prefix, text_block("question"))).json()["usage"]
    second = client.post("/v1/messages", json=message_body(*prefix, text_block("another!"))).json()["usage"]

    assert split(first) == (2 + OVERHEAD, *written, 0)
    assert split(second) == (2 + OVERHEAD, 0, 0, 46)


def test_a_longer_prefix_reads_the_shorter_one_and_writes_the_rest(client: httpx2.Client) -> None:
    start = text_block(unique_text(40), cache_control={"type": "ephemeral"})
    client.post("/v1/messages", json=message_body(start))

    longer = message_body({**start, "cache_control": None}, text_block("x" * 80), cache_control={"type": "ephemeral"})
    usage = client.post("/v1/messages", json=longer).json()["usage"]

    assert split(usage) == (OVERHEAD, 20, 0, 10)


def test_each_breakpoint_is_written_with_its_own_lifetime(client: httpx2.Client) -> None:
    long, short = {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral", "ttl": "5m"}
    blocks = text_block(unique_text(40), cache_control={**long}), text_block("x" * 80, cache_control={**short})

    usage = client.post("/v1/messages", json=message_body(*blocks)).json()["usage"]

    assert split(usage) == (OVERHEAD, 20, 10, 0)


@pytest.mark.parametrize(
    ("key", "model", "before"),
    [("another", MODEL, ""), ("test-key", "claude-opus-5", ""), ("test-key", MODEL, "different")],
)
def test_another_key_model_or_prefix_finds_nothing_in_the_cache(
    client: httpx2.Client, key: str, model: str, before: str
) -> None:
    text = unique_text(40)
    cached: Json = {"type": "ephemeral"}
    client.post("/v1/messages", json=message_body(text_block(text), cache_control=cached))

    body = message_body(text_block(before + text), cache_control=cached, model=model)
    answer = client.post("/v1/messages", json=body, headers={"x-api-key": key})

    assert answer.json()["usage"]["cache_read_input_tokens"] == 0


def test_a_count_writes_nothing_to_the_cache(client: httpx2.Client) -> None:
    body = message_body(text_block(unique_text(40)), cache_control={"type": "ephemeral"})
    counted(client, body)

    assert split(client.post("/v1/messages", json=body).json()["usage"]) == (OVERHEAD, 10, 0, 0)


def test_max_tokens_0_only_warms_the_cache(client: httpx2.Client) -> None:
    body = message_body(text_block(unique_text(40)), cache_control={"type": "ephemeral"}, max_tokens=0)

    answer = client.post("/v1/messages", json=body).json()

    assert (answer["content"], answer["stop_reason"], answer["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    assert split(answer["usage"]) == (OVERHEAD, 10, 0, 0)


def counted(client: httpx2.Client, body: dict[str, Json]) -> int:
    counting = {name: value for name, value in body.items() if name != "max_tokens"}
    return client.post("/v1/messages/count_tokens", json=counting).raise_for_status().json()["input_tokens"]


def total_input(usage: dict[str, int]) -> int:
    return usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]


def split(usage: dict[str, int | dict[str, int]]) -> tuple[object, ...]:
    """Uncached, written for 5 minutes, written for 1 hour, read."""
    written = usage["cache_creation"]
    assert isinstance(written, dict)
    assert sum(written.values()) == usage["cache_creation_input_tokens"]
    return (
        usage["input_tokens"],
        written["ephemeral_5m_input_tokens"],
        written["ephemeral_1h_input_tokens"],
        usage["cache_read_input_tokens"],
    )


def unique_text(length: int) -> str:
    return uuid4().hex.ljust(length, "x")
