"""Tokens for frontends: less than the key that made them in every way, and gone with it."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.clock import MovableClock
from tests.conftest import ADMIN

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]

AS_ADMIN = {"x-api-key": ADMIN}
MODEL, OTHER = "claude-sonnet-5-5", "claude-opus-4-8"


@pytest.fixture
def service(start_service: StartService, database_url: str, clock: MovableClock) -> httpx2.Client:
    return start_service(database_url=database_url, admin_key=ADMIN, clock=clock)


def create(service: httpx2.Client, **fields: object) -> Any:
    """A new key."""
    return service.post("/v1/keys", json={"name": "app", **fields}, headers=AS_ADMIN).raise_for_status().json()


def token_of(service: httpx2.Client, key: str, **fields: object) -> Any:
    """A new token, as the answer shows it."""
    response = service.post("/v1/tokens", json={"ttl_s": 60, **fields}, headers={"x-api-key": key})
    assert response.status_code == 200, response.text
    return response.json()


def by(token: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token['token']}"}


def told(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["details"]["error_code"]


def count(service: httpx2.Client, headers: dict[str, str], model: str = MODEL) -> httpx2.Response:
    """Has a small request counted, which names a model and spends nothing."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return service.post("/v1/messages/count_tokens", json=body, headers=headers)


def test_a_token_is_shown_once_with_its_expiry_and_used_like_a_key(service: httpx2.Client) -> None:
    key = create(service)

    token = token_of(service, key["key"], ttl_s=600, requests=5, budget_usd=0.25, models=[MODEL])

    assert token == {
        "id": token["id"],
        "token": token["token"],
        "expires_at": "2026-11-22T12:10:00Z",
        "requests": 5,
        "budget_usd": 0.25,
        "models": [MODEL],
        "endpoints": None,
        "origin": None,
    }
    assert count(service, by(token)).status_code == 200
    assert [each["id"] for each in service.get("/v1/keys", headers=AS_ADMIN).json()["keys"]] == [key["id"]]


def test_a_token_ends_with_its_time_and_says_so(service: httpx2.Client, clock: MovableClock) -> None:
    token = token_of(service, create(service)["key"])

    clock.move(59)
    before = count(service, by(token)).status_code
    clock.move(1)

    assert before == 200
    assert told(count(service, by(token))) == (401, "key_expired")


def test_a_token_long_expired_is_deleted_by_the_ledger_s_sweep(
    start_service: StartService, database_url: str, clock: MovableClock
) -> None:
    settings = {"database_url": database_url, "admin_key": ADMIN, "clock": clock}
    service = start_service(**settings)
    token = token_of(service, create(service)["key"])

    clock.move(60 + 3_601)
    start_service(**settings).get("/readyz").raise_for_status()  # the first sweep is at start

    assert told(count(service, by(token))) == (401, "invalid_key")


def test_a_token_dies_with_its_key(service: httpx2.Client) -> None:
    key = create(service)
    token = token_of(service, key["key"])
    count(service, by(token)).raise_for_status()

    service.delete(f"/v1/keys/{key['id']}", headers=AS_ADMIN).raise_for_status()

    assert told(count(service, by(token))) == (401, "invalid_key")


def test_a_token_does_not_outlive_a_key_that_expires(service: httpx2.Client, clock: MovableClock) -> None:
    token = token_of(service, create(service, expires_at="2026-11-22T12:00:30Z")["key"], ttl_s=3_600)

    clock.move(30)

    assert told(count(service, by(token))) == (401, "key_expired")


def test_a_token_is_held_to_its_models_and_to_those_of_its_key(service: httpx2.Client) -> None:
    key = create(service, models=[MODEL, OTHER])
    token = token_of(service, key["key"], models=[MODEL])

    allowed = [count(service, by(token), model).status_code for model in (MODEL, OTHER)]
    service.patch(f"/v1/keys/{key['id']}", json={"models": [OTHER]}, headers=AS_ADMIN).raise_for_status()
    afterwards = [count(service, by(token), model).status_code for model in (MODEL, OTHER)]

    assert allowed == [200, 403]
    assert afterwards == [403, 403]


def test_a_token_for_a_model_that_its_key_may_not_use_is_not_made(quick: httpx2.Client) -> None:
    key = create(quick, models=[MODEL])

    response = quick.post("/v1/tokens", json={"ttl_s": 60, "models": [OTHER]}, headers={"x-api-key": key["key"]})

    assert told(response) == (403, "model_not_allowed")


def test_a_token_is_held_to_its_endpoints(service: httpx2.Client) -> None:
    token = token_of(service, create(service)["key"], endpoints=["/v1/files", "/v1/messages"])

    assert service.get("/v1/files", headers=by(token)).status_code == 200
    assert told(service.get("/v1/files/file_1", headers=by(token))) == (404, "file_not_found")
    assert told(count(service, by(token))) == (403, "endpoint_not_allowed")
    assert told(service.get("/v1/messages/batches", headers=by(token))) == (403, "endpoint_not_allowed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/v1/keys"), ("POST", "/v1/keys")),
        *(("GET", "/v1/keys/key_1"), ("PATCH", "/v1/keys/key_1"), ("DELETE", "/v1/keys/key_1")),
    ],
)
def test_a_token_of_an_admin_is_no_admin(quick: httpx2.Client, method: str, path: str) -> None:
    tokens = [token_of(quick, key) for key in (create(quick, admin=True)["key"], ADMIN)]

    answers = [quick.request(method, path, headers=by(token)) for token in tokens]

    assert [told(answer) for answer in answers] == [(403, "admin_only")] * 2


def test_a_token_makes_no_tokens(quick: httpx2.Client) -> None:
    token = token_of(quick, create(quick)["key"])

    response = quick.post("/v1/tokens", json={"ttl_s": 60}, headers=by(token))

    assert told(response) == (403, "endpoint_not_allowed")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://app.example", 200),
        ("https://evil.example", 401),
        ("http://app.example", 401),
        ("null", 401),
        (None, 401),
    ],
)
def test_a_token_for_an_origin_is_used_from_its_pages_alone(
    quick: httpx2.Client, origin: str | None, status: int
) -> None:
    token = token_of(quick, create(quick)["key"], origin="https://app.example")

    headers = {**by(token), **({} if origin is None else {"origin": origin})}

    assert count(quick, headers).status_code == status


def test_a_token_sees_the_files_of_its_key_and_no_others(quick: httpx2.Client, photo: Maker) -> None:
    keys = [create(quick) for _ in range(2)]
    tokens = [token_of(quick, key["key"]) for key in keys]
    files = {"file": ("a.jpg", photo(8, 8))}
    file_id = quick.post("/v1/files", files=files, headers={"x-api-key": keys[0]["key"]}).json()["id"]

    assert [quick.get(f"/v1/files/{file_id}", headers=by(token)).status_code for token in tokens] == [200, 404]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ttl_s": 59}, "ttl_s: Input should be greater than or equal to 60"),
        ({"ttl_s": 3_601}, "ttl_s: Input should be less than or equal to 3600"),
        ({"requests": 0}, "requests: Input should be greater than or equal to 1"),
        ({"budget_usd": -1}, "budget_usd: Input should be greater than or equal to 0"),
        ({"models": []}, "models: List should have at least 1 item after validation, not 0"),
        (
            {"origin": "https://app.example/"},
            "origin: it must be as browsers send it, https://HOST or https://HOST:PORT, without a path",
        ),
    ],
)
def test_a_field_that_does_not_fit_is_named(quick: httpx2.Client, fields: dict[str, object], message: str) -> None:
    response = quick.post("/v1/tokens", json={"ttl_s": 60, **fields}, headers=AS_ADMIN)

    assert told(response) == (400, "invalid_request")
    assert response.json()["error"]["message"] == message


@pytest.mark.parametrize("endpoint", ["/v1/keys", "/v1/tokens", "/v1/nothing", "analyze", "/livez"])
def test_a_token_for_an_endpoint_that_it_could_not_use_is_not_made(quick: httpx2.Client, endpoint: str) -> None:
    response = quick.post("/v1/tokens", json={"ttl_s": 60, "endpoints": [endpoint]}, headers=AS_ADMIN)

    assert told(response) == (400, "invalid_request")
    assert "/v1/analyze" in response.json()["error"]["message"]


def test_a_token_of_the_operator_s_key_dies_when_that_is_changed(
    start_service: StartService, service: httpx2.Client, database_url: str
) -> None:
    token = token_of(service, ADMIN)
    same = start_service(database_url=database_url, admin_key=ADMIN, clock=MovableClock())
    other = start_service(database_url=database_url, admin_key="another-key-of-the-operator", clock=MovableClock())

    assert count(same, by(token)).status_code == 200
    assert told(count(other, by(token))) == (401, "invalid_key")


def test_without_keys_a_token_is_held_to_what_it_may_do_until_there_is_a_key(
    start_service: StartService, database_url: str
) -> None:
    service = start_service(database_url=database_url)
    token = token_of(service, "any", models=[MODEL])

    before = [count(service, by(token), model).status_code for model in (MODEL, OTHER)]
    still_open = service.get("/v1/models").status_code
    service.post("/v1/keys", json={"name": "me", "admin": True}).raise_for_status()

    assert (before, still_open) == ([200, 403], 200)
    assert told(count(service, by(token))) == (401, "invalid_key")
