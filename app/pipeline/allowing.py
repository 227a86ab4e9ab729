"""Which models a caller may use, held against everything in a request that names one."""

from collections.abc import Iterator
from typing import cast

import msgspec

from app.domain import Json
from app.errors import AppError, ErrorCode
from app.pipeline.crowded_json import JsonObject, decode_crowded

_NAMING = ("tools", "fallbacks")
"""Fields whose elements may name models too. Source: `BetaAdvisorTool20260301Param`, `BetaFallbackParam` of
anthropic 2.12.0."""

_MODEL_FROM_ELSEWHERE = ("fallbacks",)


def refuse_other_models(model: object, fields: JsonObject, allowed: frozenset[str] | None) -> None:
    """Nothing, where every model that the request names is allowed; None allows all.

    Raises:
        AppError: `model_not_allowed`, naming the first that is not.
    """
    if allowed is None:
        return
    for name in (model, *named_models(fields)):
        if not isinstance(name, str) or name not in allowed:
            raise AppError(
                ErrorCode.MODEL_NOT_ALLOWED,
                f"this key may not use {str(name)[:100] or 'a model without a name'}; "
                f"it may use {', '.join(sorted(allowed)) or 'none'}",
                models=sorted(allowed),
            )


def refuse_models_of_batched(element: msgspec.Raw, allowed: frozenset[str] | None) -> None:
    """The same of an element of a batch.

    Raises:
        AppError: `model_not_allowed`.
    """
    if allowed is not None:
        params = _object(_object(element).get("params", msgspec.Raw(b"{}")))
        refuse_other_models(_value(params.get("model")), params, allowed)


def named_models(fields: JsonObject) -> Iterator[str]:
    """The models of tools and of fallbacks; a list of fallbacks that the vendor keeps is any model, and so no name."""
    for field in _NAMING:
        value = _value(fields.get(field))
        if isinstance(value, list):
            for element in cast("list[Json]", value):
                if isinstance(element, dict) and "model" in element:
                    yield element["model"] if isinstance(element["model"], str) else ""
        elif value is not None and field in _MODEL_FROM_ELSEWHERE:
            yield f"{field} that it does not name"


def _value(raw: msgspec.Raw | None) -> object:
    """The JSON value, None where there is none."""
    try:
        return None if raw is None else decode_crowded(raw, object)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _object(raw: msgspec.Raw) -> JsonObject:
    """The members; none of what is no object, which the vendor will refuse."""
    try:
        return decode_crowded(raw, JsonObject)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
