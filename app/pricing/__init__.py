"""Usage in, `Cost` out: what a call was billed, by kind of token, in `Decimal` USD. Prices from genai-prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage as Units
from genai_prices import calc_price
from genai_prices.types import ModelPrice, TieredPrices, calc_unit_price

from app.domain import Cost, Json, Usage

PRICES_AS_OF = date(2026, 11, 10)
"""When the price list was published, as `PRICES_VERSION` of genai-prices; a test holds it to what is installed."""

PRICES_VERSION = "0.2.3"

US_INFERENCE_FACTOR = Decimal("1.1")
"""On every kind of token where inference ran in the US only.

Source: https://platform.claude.com/docs/en/about-claude/pricing, seen 2026-08-22.
"""

_MILLION = 1_000_000
_MOST_TOKENS = 10**12
_THOUSAND = 1_000
_MOST_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """A `usage` object as numbers: absent and null are 0, writes to the cache told apart by lifetime."""

    uncached_input: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    output: int
    web_searches: int

    @property
    def input(self) -> int:
        """Everything that went in, cached or not."""
        return self.uncached_input + self.cache_write_5m + self.cache_write_1h + self.cache_read


def count_tokens(usage: Usage) -> TokenCounts:
    """The counts of an upstream `usage` object. Writes without a breakdown count as those of five minutes.

    Raises:
        ValueError: a count is no number, or there is none of input or output; what was billed cannot be told.

    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching, seen 2026-08-22.
    """
    writes = _int(usage, "cache_creation_input_tokens")
    lifetimes = usage.get("cache_creation")
    one_hour = _int(lifetimes, "ephemeral_1h_input_tokens") if isinstance(lifetimes, Mapping) else 0
    five_minutes = _int(lifetimes, "ephemeral_5m_input_tokens") if isinstance(lifetimes, Mapping) else 0
    tools = usage.get("server_tool_use")
    return TokenCounts(
        uncached_input=_int(usage, "input_tokens", required=True),
        cache_write_5m=max(writes - one_hour, five_minutes),
        cache_write_1h=one_hour,
        cache_read=_int(usage, "cache_read_input_tokens"),
        output=_int(usage, "output_tokens", required=True),
        web_searches=_int(tools, "web_search_requests") if isinstance(tools, Mapping) else 0,
    )


def price(model_id: str, usage: Usage, image_tokens: int, at: datetime) -> Cost | None:
    """What the call was billed; None where no price of that model, or of the way it was called, is known.

    `image_tokens` are the request's, by the vendor's rule. Their share of the input cost is exact where nothing was
    cached; where a part was, it is proportional, for the bill does not say which tokens were.
    """
    try:
        counts = count_tokens(usage)
    except ValueError:
        return None
    prices = _prices_of(model_id, usage, at)
    if prices is None:
        return None
    factor = US_INFERENCE_FACTOR if usage.get("inference_geo") == "us" else Decimal(1)

    def of(rate: Decimal | TieredPrices | None, count: int) -> Decimal:
        return calc_unit_price(rate, count, counts.input, _MILLION) * factor

    input_usd = of(prices.input_mtok, counts.uncached_input)
    cache_write_usd = of(prices.cache_write_mtok, counts.cache_write_5m)
    cache_write_usd += of(prices.cache_write_1h_mtok, counts.cache_write_1h)
    cache_read_usd = of(prices.cache_read_mtok, counts.cache_read)
    whole_input_usd = input_usd + cache_write_usd + cache_read_usd
    share = Decimal(min(image_tokens, counts.input)) / counts.input if counts.input else Decimal(0)
    return Cost(
        input_usd=input_usd,
        cache_write_usd=cache_write_usd,
        cache_read_usd=cache_read_usd,
        output_usd=of(prices.output_mtok, counts.output),
        web_search_usd=calc_unit_price(prices.web_searches_kcount, counts.web_searches, counts.input, _THOUSAND),
        images_usd=whole_input_usd * share,
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """USD for a million tokens of each kind."""

    input: Decimal
    output: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_read: Decimal


def rates(model_id: str, at: datetime, input_tokens: int = 0) -> Rates | None:
    """What that model asks for prompts of that size; None where its price is not known."""
    prices = _prices_of(model_id, {}, at)
    if prices is None:
        return None

    def of(rate: Decimal | TieredPrices | None) -> Decimal:
        return calc_unit_price(rate, _MILLION, input_tokens, _MILLION)

    return Rates(
        input=of(prices.input_mtok),
        output=of(prices.output_mtok),
        cache_write_5m=of(prices.cache_write_mtok),
        cache_write_1h=of(prices.cache_write_1h_mtok),
        cache_read=of(prices.cache_read_mtok),
    )


def _prices_of(model_id: str, usage: Usage, at: datetime) -> ModelPrice | None:
    """The rates of that model at that instant, for the tier and speed that `usage` says it ran at."""
    return _looked_up(model_id, tuple(_price_context(usage).items()), at.replace(second=0, microsecond=0))


@lru_cache(_MOST_REMEMBERED)
def _looked_up(model_id: str, context: tuple[tuple[str, str], ...], minute: datetime) -> ModelPrice | None:
    """The search through the list, which takes part of every request's time; no price is of seconds."""
    try:
        found = calc_price(
            Units(),
            model_id,
            provider_id="anthropic",
            genai_request_timestamp=minute,
            price_context=dict(context) or None,
        )
    except LookupError:
        return None
    for key, value in context:
        if not any(variant.when.get(key) == value for variant in found.model.price_variants or ()):
            return None
    return found.model_price


def _price_context(usage: Usage) -> dict[str, str]:
    context: dict[str, str] = {}
    if usage.get("service_tier") == "batch":
        context["processing"] = "batch"
    if usage.get("speed") == "fast":
        context["speed"] = "fast"
    return context


def _int(values: Mapping[str, Json], key: str, *, required: bool = False) -> int:
    """A count; 0 where it is null or absent and need not be there."""
    value = values.get(key)
    if value is None and not required:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST_TOKENS:
        raise ValueError(key)
    return value
