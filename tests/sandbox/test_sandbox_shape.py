"""How a request has to be shaped, each fault with the vendor's words."""

import httpx2
import pytest

from app.domain import Json
from tests.sandbox.pictures import STANDARD_MODEL, image_block, message_body, picture, text_block

TINY = image_block(picture(1, 1))
HELLO: Json = {"role": "user", "content": "hello"}
THINKS_ENABLED: Json = {"type": "enabled", "budget_tokens": 1024}
CACHED: Json = {"type": "ephemeral"}


def without(name: str) -> dict[str, Json]:
    return {key: value for key, value in message_body(text_block("hello")).items() if key != name}


def asking(**fields: Json) -> dict[str, Json]:
    return message_body(text_block("hello"), **fields)


def formatted(schema: dict[str, Json]) -> dict[str, Json]:
    return {"format": {"type": "json_schema", "schema": schema}}


def turns(*messages: Json, **fields: Json) -> dict[str, Json]:
    return asking(messages=[*messages], **fields)


REFUSED: list[tuple[dict[str, Json], str]] = [
    (without("model"), "model: Field required"),
    (asking(model=5), "model: Input should be a valid string"),
    (without("max_tokens"), "max_tokens: Field required"),
    (asking(max_tokens=0), "max_tokens: must be greater than or equal to 1"),
    (asking(max_tokens=-1), "max_tokens: must be greater than or equal to 1"),
    (asking(max_tokens=True), "max_tokens: Input should be a valid integer"),
    (asking(max_tokens=1.5), "max_tokens: Input should be a valid integer"),
    (
        asking(max_tokens=128_001),
        "max_tokens: 128001 > 128000, which is the maximum allowed number of output tokens for claude-sonnet-5-5",
    ),
    (
        asking(max_tokens=64_001, model="claude-haiku-4-5"),
        "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5-20251001",
    ),
    (without("messages"), "messages: Field required"),
    (asking(messages="hello"), "messages: Input should be a valid list"),
    (turns(), "messages: at least one message is required"),
    (turns("hello"), "messages.0: Input should be a valid dictionary"),
    (turns({"content": "hello"}), "messages.0.role: Field required"),
    (turns({"role": "system", "content": "x"}), "messages.0.role: Input should be 'user' or 'assistant'"),
    (turns({"role": "user", "content": "x", "name": "y"}), "messages.0.name: Extra inputs are not permitted"),
    (turns({"role": "user"}), "messages.0.content: Field required"),
    (turns({"role": "user", "content": 5}), "messages.0.content: Input should be a valid list"),
    (
        turns({"role": "user", "content": ""}),
        "messages.0: all messages must have non-empty content except for the optional final assistant message",
    ),
    (
        turns({"role": "user", "content": []}),
        "messages.0: all messages must have non-empty content except for the optional final assistant message",
    ),
    (turns({"role": "user", "content": [text_block("")]}), "messages: text content blocks must be non-empty"),
    (turns({"role": "user", "content": [{"text": "x"}]}), "messages.0.content.0.type: Field required"),
    (turns({"role": "user", "content": [{"type": "text"}]}), "messages.0.content.0.text.text: Field required"),
    (turns({"role": "assistant", "content": "x"}, HELLO), 'messages: first message must use the "user" role'),
    (
        turns(HELLO, {"role": "assistant", "content": "The"}),
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    (
        turns(HELLO, {"role": "assistant", "content": [TINY]}, HELLO),
        "messages.1.content.0: image blocks are only permitted in user messages",
    ),
    (asking(system=[TINY]), "system.0.type: Input should be 'text'"),
    (asking(foo=1), "foo: Extra inputs are not permitted"),
    (asking(stream="yes"), "stream: Input should be a valid boolean"),
    (asking(speed="slow"), "speed: Input should be 'standard' or 'fast'"),
    (asking(service_tier="priority"), "service_tier: Input should be 'auto' or 'standard_only'"),
    (asking(stop_sequences=[" "]), "stop_sequences: each stop sequence must contain non-whitespace"),
    (
        asking(thinking={"type": "on"}),
        "thinking.type: Input should be 'adaptive', 'between_tools', 'disabled' or 'enabled'",
    ),
    (asking(thinking=THINKS_ENABLED), "thinking.type: 'enabled' is not supported by claude-sonnet-5-5"),
    (asking(thinking={"type": "disabled"}), "thinking.type: 'disabled' is not supported by claude-sonnet-5-5"),
    (
        asking(thinking={"type": "adaptive"}, model=STANDARD_MODEL),
        "thinking.type: 'adaptive' is not supported by claude-haiku-4-5-20251001",
    ),
    (
        asking(output_config=formatted({"type": "object"})),
        "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
    ),
    (
        asking(output_config=formatted({"type": "integer", "minimum": 1, "maximum": 2})),
        "output_config.format.schema: For 'integer' type, properties maximum, minimum are not supported",
    ),
    (
        asking(output_config=formatted({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})),
        "output_config.format.schema: Circular reference detected in schema definitions: #/$defs/a -> #/$defs/a",
    ),
    (
        asking(output_config=formatted({"type": "array", "items": {"type": "string"}, "minItems": 2})),
        "output_config.format.schema: For 'array' type, 'minItems' values other than 0 or 1 are not supported",
    ),
    (
        asking(output_config=formatted({"enum": [["a"]]})),
        "output_config.format.schema: Enum values must be strings, numbers, booleans or null",
    ),
    (
        asking(thinking={"type": "disabled"}, model="claude-haiku-5-5", output_config={"effort": "max"}),
        "thinking.type: 'disabled' is not supported by claude-haiku-5-5 at effort 'max'",
    ),
    (
        asking(thinking={"type": "enabled", "budget_tokens": 1023}, model=STANDARD_MODEL),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    (
        asking(thinking=THINKS_ENABLED, model=STANDARD_MODEL, max_tokens=1024),
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    (
        message_body(*[text_block("x", cache_control=CACHED)] * 5),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (
        message_body(*[text_block("x", cache_control=CACHED)] * 4, cache_control=CACHED),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (asking(cache_control={"type": "forever"}), "cache_control.type: Input should be 'ephemeral'"),
    (
        message_body(image_block("", cache_control={"type": "ephemeral", "ttl": "2h"})),
        "messages.0.content.0.image.cache_control.ttl: Input should be '5m' or '1h'",
    ),
]

TAKEN: list[dict[str, Json]] = [
    asking(max_tokens=1),
    asking(max_tokens=128_000),
    asking(max_tokens=64_000, model="claude-haiku-4-5"),
    turns(HELLO, HELLO),
    turns(HELLO, {"role": "assistant", "content": "hi"}, HELLO),
    turns(HELLO, {"role": "assistant", "content": "The"}, model=STANDARD_MODEL),
    turns(HELLO, {"role": "assistant", "content": ""}, model=STANDARD_MODEL),
    asking(thinking={"type": "adaptive"}),
    asking(thinking={"type": "between_tools"}),
    asking(thinking={"type": "disabled"}, model="claude-haiku-5-5", output_config={"effort": "high"}),
    asking(thinking=THINKS_ENABLED, model=STANDARD_MODEL, max_tokens=1025),
    asking(system=[text_block("be brief", cache_control=CACHED)], metadata={"user_id": "u"}, service_tier="auto"),
    asking(tools=[{"name": "f", "input_schema": {"type": "object"}}], tool_choice={"type": "auto"}),
    asking(output_config=formatted({"type": "object", "additionalProperties": False})),
    asking(output_config=formatted({"type": "array", "items": {"type": ["string", "null"]}, "minItems": 1})),
    message_body(*[text_block("x", cache_control=CACHED)] * 4),
    message_body({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}}),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=[message[:60] for _, message in REFUSED])
def test_what_is_wrong_with_a_request_is_said_in_the_vendors_words(
    client: httpx2.Client, body: dict[str, Json], message: str
) -> None:
    answer = client.post("/v1/messages", json=body)

    assert (answer.status_code, answer.json()["error"]) == (400, {"type": "invalid_request_error", "message": message})


@pytest.mark.parametrize("body", TAKEN)
def test_what_the_vendor_takes_is_taken(client: httpx2.Client, body: dict[str, Json]) -> None:
    assert client.post("/v1/messages", json=body).status_code == 200


@pytest.mark.parametrize("model", ["gpt-4o", "claude-opus-4-1", "claude-sonnet-4-20250514", "claude-9"])
def test_an_unknown_or_retired_model_is_404(client: httpx2.Client, model: str) -> None:
    answer = client.post("/v1/messages", json=asking(model=model))

    assert (answer.status_code, answer.json()["error"]) == (
        404,
        {"type": "not_found_error", "message": f"model: {model}"},
    )


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
@pytest.mark.parametrize(("version", "status"), [("2023-06-01", 200), ("2026-10-21", 400)])
def test_sampling_fields_are_refused_from_version_2026_10_21_on(
    client: httpx2.Client, field: str, version: str, status: int
) -> None:
    answer = client.post("/v1/messages", json=asking(**{field: 1}), headers={"anthropic-version": version})

    assert answer.status_code == status


def test_a_count_takes_no_max_tokens(client: httpx2.Client) -> None:
    answer = client.post("/v1/messages/count_tokens", json=asking())

    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400,
        "max_tokens: Extra inputs are not permitted",
    )


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(client: httpx2.Client) -> None:
    answer = client.post("/v1/messages", json=message_body(text_block("x" * 800_000), model=STANDARD_MODEL))

    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400,
        "prompt is too long: 200008 tokens > 200000 maximum",
    )


def test_a_prompt_that_fills_the_context_exactly_is_taken(client: httpx2.Client) -> None:
    answer = client.post("/v1/messages", json=message_body(text_block("x" * 799_968), model=STANDARD_MODEL))

    assert answer.json()["usage"]["input_tokens"] == 200_000


def test_a_beta_field_is_taken_with_a_beta_header_only(client: httpx2.Client) -> None:
    body = asking(mcp_servers=[])

    assert client.post("/v1/messages", json=body).status_code == 400
    assert client.post("/v1/messages", json=body, headers={"anthropic-beta": "mcp"}).status_code == 200
