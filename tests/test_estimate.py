"""POST /v1/estimate: what would be sent and what it would cost, before a cent is spent."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

Maker = Callable[..., bytes]


def estimate(service: httpx2.Client, picture: bytes, **fields: Any) -> dict[str, Any]:
    response = service.post("/v1/estimate", files={"image": ("a.jpg", picture)}, data=fields)
    assert response.status_code == 200, response.text
    return response.json()


def test_the_estimated_picture_is_the_picture_that_analyze_sends(service: httpx2.Client, photo: Maker) -> None:
    picture = photo(3000, 2000)

    estimated = estimate(service, picture)
    answered = service.post("/v1/analyze", files={"image": ("a.jpg", picture)}).json()

    assert {**estimated["images"][0], "cost_usd": 0} == {**answered["images"][0], "cost_usd": 0}


def test_no_model_is_called(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    estimate(recorded, photo(64, 48))

    assert wire.bodies == []


def test_tokens_and_cost_of_the_model_asked_for(service: httpx2.Client, photo: Maker) -> None:
    found = estimate(service, photo(4000, 3000), model="claude-opus-4-6", prompt="What is this?")

    assert found["model"] == "claude-opus-4-6"
    assert found["tokens"]["image"] == 1564
    assert found["tokens"]["total"] == 1564 + found["tokens"]["text"]
    assert found["tokens"]["counted_by"] == "estimate"
    assert found["cost"]["images_usd"] == 0.00782
    assert found["cost"]["input_usd"] == pytest.approx(found["tokens"]["total"] * 5e-6, abs=1e-9)
    assert found["compare"] is None


def test_the_upper_bound_is_above_what_the_sandbox_bills_in_full(service: httpx2.Client, photo: Maker) -> None:
    picture, fields = photo(4000, 3000), {"prompt": "Describe everything. " * 50, "max_tokens": "40"}

    bound = estimate(service, picture, **fields)["cost"]["upper_bound_usd"]
    answer = service.post("/v1/analyze", files={"image": ("a.jpg", picture)}, data=fields).json()

    assert answer["stop_reason"] == "max_tokens"
    assert answer["cost"]["total_usd"] <= bound


def test_the_upper_bound_allows_for_cache_writes_of_an_hour(service: httpx2.Client, photo: Maker) -> None:
    picture = photo(1000, 1000)
    plain = estimate(service, picture, max_tokens="1")["cost"]["upper_bound_usd"]
    cached = estimate(service, picture, max_tokens="1", extra='{"cache_control": {"type": "ephemeral", "ttl": "1h"}}')

    assert cached["cost"]["upper_bound_usd"] > 1.9 * plain


def test_compare_has_a_row_for_every_model_at_its_own_size_and_price(service: httpx2.Client, photo: Maker) -> None:
    rows = {row["model"]: row for row in estimate(service, photo(4000, 3000), compare="true")["compare"]}

    assert len(rows) == 18
    assert (rows["claude-sonnet-5-5"]["tier"], rows["claude-sonnet-5-5"]["tokens"]["image"]) == ("high", 4740)
    assert (rows["claude-sonnet-4-6"]["tier"], rows["claude-sonnet-4-6"]["tokens"]["image"]) == ("standard", 1564)
    assert rows["claude-sonnet-4-6"]["cost"]["images_usd"] == 0.004692


def test_exact_lets_the_vendor_count(service: httpx2.Client, photo: Maker) -> None:
    fields = {"prompt": "What is this?", "system": "Be brief.", "stop_sequences": "END", "max_tokens": "9"}
    found = estimate(service, photo(4000, 3000), exact="true", **fields)
    answer = service.post("/v1/analyze", files={"image": ("a.jpg", photo(4000, 3000))}, data=fields).json()

    assert found["tokens"]["counted_by"] == "vendor"
    assert found["tokens"]["total"] == answer["usage"]["input_tokens"]


def test_analyze_does_not_take_the_fields_of_estimate(service: httpx2.Client, photo: Maker) -> None:
    response = service.post("/v1/analyze", files={"image": ("a.jpg", photo(8, 8))}, data={"compare": "true"})

    assert response.json()["error"]["details"]["error_code"] == "unknown_field"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        pytest.param(
            "/v1/extract", {"schema": '{"type": "object", "properties": {"total": {"minimum": 3}}}'}, id="data"
        ),
        pytest.param("/v1/extract", {"schema": '{"type": "number"}', "structured": "false"}, id="data in words"),
        pytest.param("/v1/locate", {"target": "every button"}, id="boxes"),
    ],
)
def test_the_upper_bound_of_data_is_that_of_the_endpoint_which_gives_it(
    service: httpx2.Client, photo: Maker, path: str, fields: dict[str, str]
) -> None:
    picture = photo(640, 480)

    bound = estimate(service, picture, **fields)["cost"]["upper_bound_usd"]
    refused = service.post(path, files={"image": ("a.jpg", picture)}, data={**fields, "max_cost_usd": "0"})

    assert refused.json()["error"]["details"]["actual"] == pytest.approx(bound, abs=1e-9)


def test_a_schema_that_is_none_is_refused_by_the_estimate_too(service: httpx2.Client, photo: Maker) -> None:
    refused = service.post("/v1/estimate", files={"image": photo(64, 48)}, data={"schema": '{"type": "numbr"}'})

    assert refused.status_code == 400
    assert refused.json()["error"]["details"]["error_code"] == "invalid_schema"


def test_nobody_takes_a_schema_and_a_target(service: httpx2.Client, photo: Maker) -> None:
    both = {"schema": "{}", "target": "every button"}

    refused = service.post("/v1/estimate", files={"image": photo(64, 48)}, data=both)

    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "schema and target: send one of them; no endpoint takes both"
