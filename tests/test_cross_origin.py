"""Which web pages may call from a browser: those that the operator names, and none without a key."""

from collections.abc import Callable

import httpx2
import pytest

StartService = Callable[..., httpx2.Client]

ADMIN = "the-key-of-the-operator"
PAGE = {"origin": "https://app.example"}
PREFLIGHT = {
    **PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


def test_by_default_no_page_may_call(start_service: StartService) -> None:
    service = start_service(admin_key=ADMIN)

    preflight = service.options("/v1/analyze", headers=PREFLIGHT)
    answer = service.get("/v1/models", headers={**PAGE, "x-api-key": ADMIN})

    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in {*preflight.headers, *answer.headers}


def test_a_preflight_of_a_named_page_is_answered_without_a_key(start_service: StartService) -> None:
    service = start_service(admin_key=ADMIN, cors_origins="https://other.example, https://app.example")

    preflight = service.options("/v1/analyze", headers=PREFLIGHT)

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "access-control-allow-credentials" not in preflight.headers


def test_a_page_that_is_not_named_is_not_let_in(start_service: StartService) -> None:
    service = start_service(admin_key=ADMIN, cors_origins="https://other.example")

    preflight = service.options("/v1/analyze", headers=PREFLIGHT)
    answer = service.get("/v1/models", headers={**PAGE, "x-api-key": ADMIN})

    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in {*preflight.headers, *answer.headers}


@pytest.mark.parametrize(("key", "status"), [(ADMIN, 200), ("wrong", 401)])
def test_a_script_reads_answers_and_refusals_and_their_cost(start_service: StartService, key: str, status: int) -> None:
    service = start_service(admin_key=ADMIN, cors_origins="https://app.example")

    answer = service.get("/v1/models", headers={**PAGE, "x-api-key": key})

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "https://app.example")
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"x-vision-proxy-cost-usd", "request-id", "retry-after", "server-timing"} < set(exposed)


def test_an_open_service_serves_no_foreign_page_even_one_that_is_named(start_service: StartService) -> None:
    service = start_service(cors_origins="https://app.example")

    assert service.get("/v1/models", headers=PAGE).status_code == 401
    assert service.get("/v1/models").status_code == 200
