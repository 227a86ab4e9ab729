"""What each model is: vision tier, context window, image limit. Prices are not here; see `app.pricing`."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files

from app.domain import HIGH_TIER, STANDARD_TIER, Model

MANY_IMAGES_CONTEXT_TOKENS = 1_000_000
"""From this context window on a request may hold 600 images, below it 100.

Source: https://platform.claude.com/docs/en/build-with-claude/vision, seen 2026-08-22.
"""

_TIERS = {tier.name: tier for tier in (STANDARD_TIER, HIGH_TIER)}


class Catalog:
    """The models of `models.toml`, by id and by alias."""

    def __init__(self, models: Iterable[Model], aliases: Mapping[str, str]) -> None:
        """`aliases` maps a short name to the id of one of `models`."""
        self._models = {model.id: model for model in models}
        self._aliases = dict(aliases)

    def all(self) -> tuple[Model, ...]:
        """Every listed model that still answers, in the order of the file: newest line first."""
        return tuple(self._models.values())

    def find(self, model_id: str) -> Model:
        """The model of that id or alias, under the id that was asked for.

        An id that is not listed gives the stricter reading of every limit, so that a model released tomorrow works
        today: the standard tier (its sizes are never scaled down on a high-resolution model either, so that
        coordinates stay true), 100 images, no structured outputs.
        """
        listed = self._models.get(self._aliases.get(model_id, model_id))
        if listed is None:
            return Model(model_id, STANDARD_TIER, 200_000, 64_000, _max_images(200_000), known=False)
        return replace(listed, id=model_id)


@cache
def load_catalog() -> Catalog:
    """The catalog that ships with the service."""
    table = tomllib.loads(files("app.catalog").joinpath("models.toml").read_text("utf-8"))
    rows = table["model"]
    models = [
        Model(
            id=row["id"],
            tier=_TIERS[row["tier"]],
            context_tokens=row["context_tokens"],
            max_output_tokens=row["max_output_tokens"],
            max_images=_max_images(row["context_tokens"]),
            structured_outputs=row["structured_outputs"],
        )
        for row in rows
    ]
    return Catalog(models, {row["alias"]: row["id"] for row in rows if "alias" in row})


def _max_images(context_tokens: int) -> int:
    return 600 if context_tokens >= MANY_IMAGES_CONTEXT_TOKENS else 100
