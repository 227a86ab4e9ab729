"""What of a Messages answer is billed, and what it costs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from app.domain import Cost, Json, Usage
from app.pipeline.ports import Services

_NOTHING: Usage = {"input_tokens": 0, "output_tokens": 0}


class _Bill(msgspec.Struct):
    """The members of a Messages answer that say what it cost."""

    model: str | None = None
    usage: dict[str, Any] | None = None
    stop_reason: str | None = None
    content: list[msgspec.Raw] | None = None


def read_bill(answer: bytes | msgspec.Raw) -> dict[str, Any] | None:
    """What `cost_of` needs of a Messages answer; None where it tells of no usage."""
    try:
        bill = msgspec.json.decode(answer, type=_Bill)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if bill.usage is None else msgspec.structs.asdict(bill)


def sum_usage(first: Usage, second: Usage) -> Usage:
    """The usage of two calls: counts added, anything else as the second tells it."""
    return {**first, **{name: _sum(first.get(name), value) for name, value in second.items()}}


def _sum(first: Json, second: Json) -> Json:
    if isinstance(first, dict) and isinstance(second, dict):
        return dict(sum_usage(first, second))
    if isinstance(first, bool) or isinstance(second, bool):
        return second
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first + second
    return first if second is None else second


def cost_of(
    message: Mapping[str, Json], model_id: str, image_tokens: int, services: Services, at: datetime | None = None
) -> Cost | None:
    """The cost of a Messages answer, whole or as far as a stream has come; None where no price is known.

    `model_id` is for an answer that does not name its model, `at` the instant of its prices, now where None.
    A refusal before any output is not billed, though its usage shows counts.
    Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons, seen 2026-08-22.
    """
    usage, model = message.get("usage"), message.get("model")
    if not isinstance(usage, dict):
        return None
    if message.get("stop_reason") == "refusal" and not message.get("content"):
        tier = {"service_tier": usage.get("service_tier")}
        usage, image_tokens = {**tier, **_NOTHING}, 0
    return services.price(
        model if isinstance(model, str) else model_id, usage, image_tokens, at or services.clock.now()
    )
