"""Which models answer, and what sets one apart from another beyond the catalog."""

from app.catalog import load_catalog
from app.domain import Model
from app.sandbox.errors import not_found

BEFORE_4_6 = ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")
WITH_MANUAL_THINKING = (*BEFORE_4_6, "claude-opus-4-6", "claude-sonnet-4-6")
ALWAYS_THINKING = ("claude-fable-", "claude-opus-5-5", "claude-sonnet-5-5")
WITH_BETWEEN_TOOLS = ("claude-sonnet-5-5",)
"""Which models take which `thinking.type`, by the start of the id.

Source: https://platform.claude.com/docs/en/build-with-claude/effort and /thinking, seen 2026-08-22; release notes.
"""


def find_model(model_id: str) -> Model:
    """The model of that id or alias, under its full id.

    Raises:
        SandboxError: 404, there is none of that name, or no longer.
    """
    catalog = load_catalog()
    if catalog.find(model_id).known:
        for model in catalog.all():
            if model.id == model_id or model.id.startswith(f"{model_id}-20"):
                return model
    raise not_found(f"model: {model_id}")


def thinking_types(model: Model) -> frozenset[str]:
    """The values of `thinking.type` that the model takes."""
    return frozenset(
        name
        for name, taken in (
            ("adaptive", not model.id.startswith(BEFORE_4_6)),
            ("between_tools", model.id.startswith(WITH_BETWEEN_TOOLS)),
            ("disabled", not model.id.startswith(ALWAYS_THINKING)),
            ("enabled", model.id.startswith(WITH_MANUAL_THINKING)),
        )
        if taken
    )
