"""What a usage object costs: sums that can be checked by eye, against the vendor's published prices."""

from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import load_catalog
from app.domain import Json
from app.pricing import PRICES_VERSION, price

NOW = datetime(2026, 11, 21, tzinfo=UTC)
M = 1_000_000


def cost(model: str, image_tokens: int = 0, **usage: Any) -> Any:
    found = price(model, {"input_tokens": 0, "output_tokens": 0, **usage}, image_tokens, NOW)
    assert found is not None
    return found


# USD per million tokens: input, output, write for 5 minutes, write for 1 hour, read
PRICE_LIST = {
    "claude-fable-5-2": (8, 40, 10, 16, "0.20"),
    "claude-fable-5-1": (10, 50, "12.50", 20, "0.25"),
    "claude-opus-5-5": (4, 20, 5, 8, "0.20"),
    "claude-opus-5": (5, 25, "6.25", 10, "0.50"),
    "claude-opus-4-5-20251101": (5, 25, "6.25", 10, "0.50"),
    "claude-sonnet-5-5": (2, 10, "2.50", 4, "0.10"),
    "claude-sonnet-5": (2, 10, "2.50", 4, "0.20"),
    "claude-sonnet-4-6": (3, 15, "3.75", 6, "0.30"),
    "claude-haiku-4-5": (1, 5, "1.25", 2, "0.10"),
}


@pytest.mark.parametrize(("model", "rates"), PRICE_LIST.items())
def test_a_million_tokens_of_each_kind_cost_what_the_price_list_says(model: str, rates: tuple[Any, ...]) -> None:
    per_input, per_output, per_write_5m, per_write_1h, per_read = (Decimal(rate) for rate in rates)

    writes = {"ephemeral_5m_input_tokens": M, "ephemeral_1h_input_tokens": M}
    found = cost(
        model,
        input_tokens=M,
        output_tokens=M,
        cache_creation_input_tokens=2 * M,
        cache_creation=writes,
        cache_read_input_tokens=M,
    )

    assert (found.input_usd, found.output_usd) == (per_input, per_output)
    assert (found.cache_write_usd, found.cache_read_usd) == (per_write_5m + per_write_1h, per_read)
    assert found.total_usd == per_input + per_output + per_write_5m + per_write_1h + per_read


def test_cache_writes_without_a_breakdown_are_those_of_five_minutes() -> None:
    found = cost("claude-sonnet-5-5", cache_creation_input_tokens=M, cache_creation=None)

    assert found.cache_write_usd == Decimal("2.5")


def test_cached_tokens_are_not_counted_twice() -> None:
    found = cost("claude-sonnet-5-5", input_tokens=10, cache_read_input_tokens=M)

    assert found.total_usd == Decimal("0.00002") + Decimal("0.1")


@pytest.mark.parametrize(
    ("uncached", "cached", "rate"), [(100_000, 0, "0.1"), (100_001, 0, "0.5"), (1, 99_999, "0.1"), (1, 100_000, "0.5")]
)
def test_haiku_5_5_has_a_dearer_band_by_the_size_of_the_whole_prompt(uncached: int, cached: int, rate: str) -> None:
    found = cost("claude-haiku-5-5", input_tokens=uncached, cache_read_input_tokens=cached, output_tokens=M)

    assert found.input_usd == Decimal(rate) * uncached / M
    assert found.output_usd == Decimal(rate) * 5


def test_batches_cost_half() -> None:
    found = cost("claude-sonnet-5-5", input_tokens=M, output_tokens=M, service_tier="batch")

    assert found.total_usd == Decimal(6)


def test_fast_mode_costs_its_own_price() -> None:
    assert cost("claude-opus-5-5", input_tokens=M, speed="fast").input_usd == Decimal(8)


def test_fast_mode_without_a_known_price_is_unknown_and_not_the_standard_price() -> None:
    assert price("claude-sonnet-5-5", {"input_tokens": M, "output_tokens": 0, "speed": "fast"}, 0, NOW) is None


def test_inference_in_the_us_costs_a_tenth_more_on_tokens_and_not_on_searches() -> None:
    found = cost(
        "claude-sonnet-5-5",
        input_tokens=M,
        server_tool_use={"web_search_requests": 1000},
        inference_geo="us",
    )

    assert (found.input_usd, found.web_search_usd, found.total_usd) == (Decimal("2.2"), Decimal(10), Decimal("12.2"))


def test_a_model_without_a_known_price_has_no_cost() -> None:
    assert price("claude-next-9", {"input_tokens": 1, "output_tokens": 1}, 0, NOW) is None


def test_the_images_share_of_an_uncached_prompt_is_their_tokens_at_the_input_rate() -> None:
    found = cost("claude-sonnet-5-5", image_tokens=4740, input_tokens=4801, output_tokens=212)

    assert found.input_usd == Decimal("0.009602")
    assert round(found.images_usd, 9) == Decimal("0.00948")
    assert found.total_usd == Decimal("0.011722")


def test_the_images_share_never_exceeds_the_input() -> None:
    found = cost("claude-sonnet-5-5", image_tokens=5000, input_tokens=10)

    assert found.images_usd == found.input_usd


def test_null_counts_are_zero() -> None:
    found = cost(
        "claude-sonnet-5-5", cache_creation_input_tokens=None, cache_read_input_tokens=None, server_tool_use=None
    )

    assert found.total_usd == 0


@given(*(st.integers(0, 900_000) for _ in range(5)))
def test_the_kinds_add_up_to_the_total_of_the_price_package(
    uncached: int, write_5m: int, write_1h: int, read: int, output: int
) -> None:
    usage: dict[str, Json] = {
        "input_tokens": uncached,
        "cache_creation_input_tokens": write_5m + write_1h,
        "cache_creation": {"ephemeral_5m_input_tokens": write_5m, "ephemeral_1h_input_tokens": write_1h},
        "cache_read_input_tokens": read,
        "output_tokens": output,
    }
    units = Usage(
        input_tokens=uncached + write_5m + write_1h + read,
        cache_write_tokens=write_5m + write_1h,
        cache_write_1h_tokens=write_1h,
        cache_read_tokens=read,
        output_tokens=output,
    )
    for model in ("claude-haiku-5-5", "claude-sonnet-5-5"):
        reference = calc_price(units, model, provider_id="anthropic", genai_request_timestamp=NOW)
        found = price(model, usage, 0, NOW)
        assert found is not None
        assert found.total_usd == reference.total_price


UNPRICED = {"claude-mythos-5", "claude-mythos-5-1"}
"""For verified organisations only; genai-prices 0.2.3 does not list them, so their cost is null."""


@pytest.mark.parametrize("model", [model.id for model in load_catalog().all()])
def test_every_model_of_the_catalog_has_a_price_but_those_known_to_have_none(model: str) -> None:
    found = price(model, {"input_tokens": M, "output_tokens": 0}, 0, NOW)

    assert (found is None) == (model in UNPRICED)


def test_the_date_of_the_prices_is_that_of_the_installed_package() -> None:
    assert version("genai-prices") == PRICES_VERSION  # else look up its release date and set both
