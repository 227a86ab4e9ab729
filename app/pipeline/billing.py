"""What of a Messages answer is billed, and what it costs."""

from collections.abc import Mapping

from app.domain import Cost, Json, Usage
from app.pipeline.ports import Services
from app.pipeline.ready import Ready

_NOTHING: Usage = {"input_tokens": 0, "output_tokens": 0}


def cost_of(ready: Ready, message: Mapping[str, Json], services: Services) -> Cost | None:
    """The cost of a Messages answer, whole or as far as a stream has come; None where no price is known.

    A refusal before any output is not billed, though its usage shows counts.
    Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons, seen 2026-08-22.
    """
    usage = message.get("usage")
    model = message.get("model")
    if not isinstance(usage, dict):
        return None
    refused = message.get("stop_reason") == "refusal" and not message.get("content")
    return services.price(
        model if isinstance(model, str) else ready.model.id,
        _NOTHING if refused else usage,
        0 if refused else ready.image_tokens,
        services.clock.now(),
    )
