"""The vendor's models, each with what this service knows of it: tier, limits and prices."""

from dataclasses import asdict
from decimal import Decimal

import msgspec

from app.pipeline.crowded_json import JsonObject
from app.pipeline.ports import Services

HAIKU_BAND_TOKENS = 100_000
"""Where the one model with two price bands changes. Source: /models/haiku-5-5 of the vendor's documents, 2026-10."""


def with_vision(content: bytes, services: Services) -> bytes:
    """The vendor's list of models, or one model, each with `vision`; every other member as it was spelt.

    Raises:
        msgspec.DecodeError: it is neither.
    """
    members = msgspec.json.decode(content, type=JsonObject)
    if "data" in members:
        models = msgspec.json.decode(members["data"], type=list[JsonObject])
        members["data"] = msgspec.Raw(msgspec.json.encode([_seen(model, services) for model in models]))
        return msgspec.json.encode(members)
    return msgspec.json.encode(_seen(members, services))


def _seen(members: JsonObject, services: Services) -> JsonObject:
    model_id = msgspec.json.decode(members["id"], type=str) if "id" in members else ""
    model = services.catalog.find(model_id)
    vision = {
        "tier": model.tier.name,
        "max_long_edge_px": model.tier.max_edge_px,
        "max_visual_tokens": model.tier.max_tokens,
        "max_images": model.max_images,
        "prices_usd_per_mtok": _prices(model_id, services),
    }
    return {**members, "vision": msgspec.Raw(msgspec.json.encode(vision))}


def _prices(model_id: str, services: Services) -> dict[str, object] | None:
    at = services.clock.now()
    base, long = services.rates(model_id, at), services.rates(model_id, at, HAIKU_BAND_TOKENS + 1)
    if base is None or long is None:
        return None
    prices: dict[str, object] = _numbers(asdict(base))
    if long != base:
        prices[f"above_{HAIKU_BAND_TOKENS}_input_tokens"] = _numbers(asdict(long))
    return prices


def _numbers(rates: dict[str, Decimal]) -> dict[str, object]:
    return {kind: float(rate) for kind, rate in rates.items()}
