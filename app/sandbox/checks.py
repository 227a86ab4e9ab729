"""From the JSON body to a `MessagesRequest`: every field known, typed and allowed for the model."""

from dataclasses import dataclass, replace

from app.domain import Json, Model
from app.sandbox.errors import invalid
from app.sandbox.lineup import BEFORE_4_6, find_model, thinking_types
from app.sandbox.narrowing import (
    as_boolean,
    as_choice,
    as_integer,
    as_list,
    as_object,
    as_string,
    refuse_others,
    required,
)
from app.sandbox.output_format import Schema, read_format, schema_in
from app.sandbox.prompt import ImageBlock, Part, read_parts

SAMPLING_FIELDS = ("temperature", "top_p", "top_k")
VERSION_WITHOUT_SAMPLING = "2026-10-21"
"""From this API version on the sampling fields are refused.

Source: https://platform.claude.com/docs/en/api/migration-2026-10-21, seen October 2026.
"""

COUNTED_FIELDS = (
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "cache_control",
    "speed",
)
MESSAGE_FIELDS = (
    *COUNTED_FIELDS,
    "max_tokens",
    "metadata",
    "stop_sequences",
    "stream",
    "service_tier",
    "inference_geo",
    "container",
    "diagnostics",
)
BETA_FIELDS = ("context_management", "fallbacks", "mcp_servers", "output_format")
"""Taken, and ignored, where the request has the header `anthropic-beta`.

Source of the fields: anthropic 2.12.0, resources/messages/messages.py and types/message_count_tokens_params.py.
"""

MIN_THINKING_BUDGET_TOKENS = 1_024
"""Source: anthropic 2.12.0, types/thinking_config_enabled_param.py."""

EFFORTS = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """A request that is shaped as it should be. `max_tokens` is 0 for a count and to warm the prompt cache only."""

    model: Model
    parts: tuple[Part, ...]
    shows_thinking: bool
    fast: bool
    max_tokens: int = 0
    stream: bool = False
    stop_sequences: tuple[str, ...] = ()
    inference_geo: str = "global"
    schema: Schema | None = None
    """What the answer must keep to, by `output_config.format` or by the prompt."""

    @property
    def images(self) -> tuple[ImageBlock, ...]:
        """Every picture, in order."""
        return tuple(part.image for part in self.parts if part.image is not None)

    @property
    def prompt_chars(self) -> int:
        """How many characters people wrote."""
        return sum(len(part.text) for part in self.parts)


def check_message(body: dict[str, Json], *, version: str, beta: bool) -> MessagesRequest:
    """What `POST /v1/messages` asks for; `version` is the header `anthropic-version`, `beta` whether one is named.

    Raises:
        SandboxError: 400 or, for an unknown model, 404.
    """
    sampling = () if version == VERSION_WITHOUT_SAMPLING else SAMPLING_FIELDS
    refuse_others(body, (*MESSAGE_FIELDS, *sampling, *(BETA_FIELDS if beta else ())))
    request = _check_common(body)
    max_tokens = as_integer(required(body, "max_tokens"), "max_tokens")
    _check_max_tokens(max_tokens, request)
    _check_thinking(body, request.model, max_tokens)
    if (tier := body.get("service_tier")) is not None:
        as_choice(tier, "service_tier", ("auto", "standard_only"))
    return replace(
        request,
        max_tokens=max_tokens,
        stream=as_boolean(body.get("stream", False), "stream"),
        stop_sequences=_read_stop_sequences(body.get("stop_sequences")),
        inference_geo=as_string(body.get("inference_geo") or "global", "inference_geo"),
    )


def check_count(body: dict[str, Json], *, beta: bool) -> MessagesRequest:
    """What `POST /v1/messages/count_tokens` asks for.

    Raises:
        SandboxError: 400 or, for an unknown model, 404.
    """
    refuse_others(body, (*COUNTED_FIELDS, *(BETA_FIELDS if beta else ())))
    request = _check_common(body)
    _check_thinking(body, request.model, None)
    return request


def _check_common(body: dict[str, Json]) -> MessagesRequest:
    model = find_model(as_string(required(body, "model"), "model"))
    request = MessagesRequest(
        model=model,
        parts=read_parts(body, prefill_allowed=model.id.startswith(BEFORE_4_6)),
        shows_thinking=_thinking_type(body) in ("adaptive", "enabled"),
        schema=_schema(body, model),
        fast=as_choice(body.get("speed") or "standard", "speed", ("standard", "fast")) == "fast",
    )
    _check_media_count(request)
    if request.schema is None:
        prompted = (schema_in(part.text) for part in reversed(request.parts))
        return replace(request, schema=next((schema for schema in prompted if schema is not None), None))
    return request


def _schema(body: dict[str, Json], model: Model) -> Schema | None:
    given = body.get("output_config")
    return None if given is None else read_format(as_object(given, "output_config"), model)


def _check_media_count(request: MessagesRequest) -> None:
    images = len(request.images)
    documents = sum(part.is_document for part in request.parts)
    if images + documents > request.model.max_images:
        raise invalid(f"too many images and documents: {images} + {documents} > {request.model.max_images}")


def _check_max_tokens(max_tokens: int, request: MessagesRequest) -> None:
    warms_cache = max_tokens == 0 and any(part.lifetime is not None for part in request.parts)
    if max_tokens < 1 and not warms_cache:
        raise invalid("max_tokens: must be greater than or equal to 1")
    if max_tokens > request.model.max_output_tokens:
        raise invalid(
            f"max_tokens: {max_tokens} > {request.model.max_output_tokens}, which is the maximum allowed number of "
            f"output tokens for {request.model.id}"
        )


def _thinking_type(body: dict[str, Json]) -> str | None:
    given = body.get("thinking")
    if given is None:
        return None
    thinking = as_object(given, "thinking")
    choices = ("adaptive", "between_tools", "disabled", "enabled")
    return as_choice(required(thinking, "type", "thinking."), "thinking.type", choices)


def _check_thinking(body: dict[str, Json], model: Model, max_tokens: int | None) -> None:
    """Refuse a kind of thinking that the model does not know. `max_tokens` is None for a count.

    The rule for Haiku 5.5: https://platform.claude.com/docs/en/models/haiku-5-5, seen October 2026.
    """
    kind, effort = _thinking_type(body), _effort(body)
    if kind is None:
        return
    if kind not in thinking_types(model):
        raise invalid(f"thinking.type: '{kind}' is not supported by {model.id}")
    if kind == "disabled" and model.id == "claude-haiku-5-5" and effort in ("xhigh", "max"):
        raise invalid(f"thinking.type: 'disabled' is not supported by {model.id} at effort '{effort}'")
    if kind == "enabled":
        _check_budget(as_object(body["thinking"], "thinking"), max_tokens)


def _check_budget(thinking: dict[str, Json], max_tokens: int | None) -> None:
    budget = as_integer(required(thinking, "budget_tokens", "thinking.enabled."), "thinking.enabled.budget_tokens")
    if budget < MIN_THINKING_BUDGET_TOKENS:
        raise invalid(
            f"thinking.enabled.budget_tokens: Input should be greater than or equal to {MIN_THINKING_BUDGET_TOKENS}"
        )
    if max_tokens is not None and budget >= max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")


def _effort(body: dict[str, Json]) -> str | None:
    given = body.get("output_config")
    if given is None:
        return None
    effort = as_object(given, "output_config").get("effort")
    return None if effort is None else as_choice(effort, "output_config.effort", EFFORTS)


def _read_stop_sequences(value: Json) -> tuple[str, ...]:
    if value is None:
        return ()
    sequences = tuple(
        as_string(sequence, f"stop_sequences.{i}") for i, sequence in enumerate(as_list(value, "stop_sequences"))
    )
    if not all(sequence.strip() for sequence in sequences):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    return sequences
