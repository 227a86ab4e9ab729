"""GET /v1/models: the vendor's list, with what each model means for images."""

import httpx2
import pytest


def test_a_model_comes_with_its_tier_limits_and_prices(service: httpx2.Client, sandbox: httpx2.Client) -> None:
    found = service.get("/v1/models/claude-sonnet-5-5").json()

    vision = found.pop("vision")
    assert found == sandbox.get("/v1/models/claude-sonnet-5-5").json()
    assert vision == {
        "tier": "high",
        "max_long_edge_px": 2576,
        "max_visual_tokens": 4784,
        "max_images": 600,
        "prices_usd_per_mtok": {
            "input": 2.0,
            "output": 10.0,
            "cache_write_5m": 2.5,
            "cache_write_1h": 4.0,
            "cache_read": 0.1,
        },
    }


def test_a_model_with_two_price_bands_shows_both(service: httpx2.Client) -> None:
    prices = service.get("/v1/models/claude-haiku-5-5").json()["vision"]["prices_usd_per_mtok"]

    assert (prices["input"], prices["above_100000_input_tokens"]["input"]) == (0.1, 0.5)


def test_a_model_without_a_known_price_has_null(service: httpx2.Client) -> None:
    assert service.get("/v1/models/claude-mythos-5").json()["vision"]["prices_usd_per_mtok"] is None


def test_the_list_is_paged_as_the_vendor_pages_it(service: httpx2.Client, sandbox: httpx2.Client) -> None:
    query = "?limit=3&after_id=claude-opus-5"
    found, original = service.get(f"/v1/models{query}").json(), sandbox.get(f"/v1/models{query}").json()

    assert all("vision" in model for model in found["data"])
    for model in found["data"]:
        del model["vision"]
    assert found == original


@pytest.mark.parametrize("model", ["%2e%2e", "x%3Fa=b", "x%2Fy"])
def test_an_id_cannot_lead_to_another_path_of_the_vendor(service: httpx2.Client, model: str) -> None:
    response = service.get(f"/v1/models/{model}")

    assert (response.status_code, response.json()["error"]["details"]["error_code"]) == (404, "unknown_route")


def test_an_unknown_model_is_the_vendor_s_404(service: httpx2.Client, sandbox: httpx2.Client) -> None:
    through, direct = service.get("/v1/models/claude-nine"), sandbox.get("/v1/models/claude-nine")

    assert through.status_code == 404
    assert through.json()["error"] == direct.json()["error"]
