"""Money before the call: what a request will cost at the most, and what it would cost on other models."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from app.domain import Json, Model, Usage
from app.errors import AppError, ErrorCode
from app.pipeline.ports import Services
from app.pipeline.reports import ModelEstimate, TokenEstimate
from app.pipeline.request import VisionRequest

_BYTES_PER_TOKEN = 3.5
"""A guess for text on the newer tokenizer, which gives about 30 % more tokens than the 4.6 generation's.

Source: https://platform.claude.com/docs/en/about-claude/pricing, seen 2026-08-22. `exact` asks the vendor instead.
"""

MAX_COMPLAINT_BYTES = 8_000
"""Of what is said of an answer that is given back to be put right."""

_MOST_OTHER_MODELS = 20

_TOOL_PROMPT_TOKENS = 1_000
"""Room in the upper bound for what the vendor adds to a request with tools."""


def estimate_tokens(request: VisionRequest, image_tokens: int, counted: int | None) -> TokenEstimate:
    """The input tokens: counted by the vendor where `counted` is given, else guessed from the size of the text."""
    if counted is not None:
        return TokenEstimate(image_tokens, max(counted - image_tokens, 0), counted, "vendor")
    text = round(request.body.text_bytes / _BYTES_PER_TOKEN)
    return TokenEstimate(image_tokens, text, image_tokens + text, "estimate")


def estimate_for(model: Model, request: VisionRequest, tokens: TokenEstimate, services: Services) -> ModelEstimate:
    """What the request would cost on that model; None where its price is not known."""
    at = services.clock.now()
    expected = services.price(model.id, _usage(request.billed_as, tokens.total, 0), tokens.image, at)
    return ModelEstimate(
        model=model,
        tokens=tokens,
        input_usd=None if expected is None else expected.total_usd,
        upper_bound_usd=upper_bound_usd(model, request, tokens.image, services),
        images_usd=None if expected is None else expected.images_usd,
    )


def upper_bound_usd(model: Model, request: VisionRequest, image_tokens: int, services: Services) -> Decimal | None:
    """The most the request can cost: a token for every byte of text, every output token used, the dearest cache rate.

    None where the price is not known, or the request holds what nobody can foresee.
    """
    if not request.bounded:
        return None
    text_tokens = request.body.text_bytes + _TOOL_PROMPT_TOKENS * _has_tools(request)
    again_tokens = request.max_tokens + MAX_COMPLAINT_BYTES  # the answer goes back with what is wrong with it
    inputs = [image_tokens + text_tokens + again_tokens * turn for turn in range(request.calls)]
    return _sum_of(model, request, inputs, request.max_tokens, services)


def largest_cost_usd(request: VisionRequest, services: Services) -> Decimal | None:
    """What a request costs that fills the context of its model, and that of every other model which it names.

    That is more than one call to each can cost without the vendor's own tools.
    None where a price is not known, or where there are too many to look up while others wait.
    """
    if len(request.other_models) > _MOST_OTHER_MODELS:
        return None
    models = {model.id: model for model in map(services.catalog.find, {request.model, *request.other_models})}
    total = Decimal(0)
    for model in models.values():
        inputs = [model.context_tokens] * request.calls
        cost_usd = _sum_of(model, request, inputs, request.max_tokens or model.max_output_tokens, services)
        if cost_usd is None:
            return None
        total += cost_usd
    return total


def _sum_of(
    model: Model, request: VisionRequest, inputs: Sequence[int], output_tokens: int, services: Services
) -> Decimal | None:
    """What calls of that many input tokens each cost together; None where the price is not known."""
    at = services.clock.now()
    usages = [_usage(request.billed_as, tokens, output_tokens) for tokens in inputs]
    costs = [services.price(model.id, usage, 0, at) for usage in usages]
    known = [cost.total_usd for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def refuse_above_cap(model: Model, request: VisionRequest, image_tokens: int, services: Services) -> None:
    """Nothing, where the caller set no cap or the upper bound is within it.

    Raises:
        AppError: `max_cost_exceeded`, also where no bound can be given because the price is not known.
    """
    cap = request.max_cost_usd
    if cap is None:
        return
    bound = upper_bound_usd(model, request, image_tokens, services)
    if bound is None:
        raise AppError(
            ErrorCode.MAX_COST_EXCEEDED,
            f"max_cost_usd {cap} cannot be kept: "
            + (f"no price of {model.id} is known" if request.bounded else "the request holds what cannot be foreseen"),
            limit=float(cap),
            hint="no bound can be given for documents, pictures that the vendor fetches, tools that it runs, unknown "
            "fields, or a model without a known price; leave them or max_cost_usd out",
        )
    if bound > cap:
        raise AppError(
            ErrorCode.MAX_COST_EXCEEDED,
            f"this may cost up to {bound:.6f} USD; max_cost_usd is {cap}",
            actual=float(bound),
            limit=float(cap),
            hint="lower max_tokens or detail, send fewer pictures, or raise max_cost_usd",
        )


def _usage(hints: Usage, input_tokens: int, output_tokens: int) -> Mapping[str, Json]:
    """A `usage` object of that size, billed as the request asks to be. Cache writes count as those of an hour."""
    usage: dict[str, Json] = {**hints, "input_tokens": 0, "output_tokens": output_tokens}
    if hints.get("cache_control"):
        usage["cache_creation"] = {"ephemeral_1h_input_tokens": input_tokens}
        usage["cache_creation_input_tokens"] = input_tokens
    else:
        usage["input_tokens"] = input_tokens
    return usage


def _has_tools(request: VisionRequest) -> bool:
    return request.body.mentions(b'"tools"')
