"""Keys: made, shown once, kept as hashes, held to what they may do, revoked everywhere, and never all lost."""

import base64
import hmac
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import iter_route_contexts

from app.main import create_app
from app.settings import Settings
from tests.clock import MovableClock
from tests.conftest import ADMIN

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]

AS_ADMIN = {"x-api-key": ADMIN}
SECRET = "a-secret-to-hash-keys-with"  # noqa: S105 - of no service but these


@pytest.fixture
def locked(start_service: StartService, database_url: str, clock: MovableClock) -> httpx2.Client:
    """A service with an admin key of the environment, on each kind of database in turn."""
    return start_service(database_url=database_url, admin_key=ADMIN, clock=clock)


def create(service: httpx2.Client, **fields: object) -> Any:
    """A new key, as the answer shows it."""
    response = service.post("/v1/keys", json={"name": "an app", **fields}, headers=AS_ADMIN)
    assert response.status_code == 200, response.text
    return response.json()


def by(key: Any) -> dict[str, str]:
    """The headers of whoever holds it."""
    return {"x-api-key": key["key"]}


def told(response: httpx2.Response) -> tuple[int, str]:
    """Status and error code."""
    return response.status_code, response.json()["error"]["details"]["error_code"]


def message_of(response: httpx2.Response) -> str:
    return response.json()["error"]["message"]


def test_a_key_is_shown_once_and_opens_the_service(locked: httpx2.Client) -> None:
    made = create(locked, name="billing", budget_usd=12.5, budget_period="month", models=["claude-sonnet-5-5"])
    key = made.pop("key")

    assert made == {
        "id": made["id"],
        "name": "billing",
        "admin": False,
        "budget_usd": 12.5,
        "budget_period": "month",
        "requests_per_minute": None,
        "images_per_minute": None,
        "tokens_per_minute": None,
        "models": ["claude-sonnet-5-5"],
        "expires_at": None,
        "created_at": "2026-11-22T12:00:00Z",
        "revoked_at": None,
    }
    assert locked.get(f"/v1/keys/{made['id']}", headers=AS_ADMIN).json() == made
    assert locked.get("/v1/keys", headers=AS_ADMIN).json() == {"keys": [made]}
    assert locked.get("/v1/models", headers={"x-api-key": key}).status_code == 200


def test_a_key_is_kept_as_a_hash_alone(start_service: StartService, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    service = start_service(database_url=url, admin_key=ADMIN, key_secret=SECRET)
    key = create(service)["key"]

    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert key.encode() not in kept
    assert key.removeprefix("vp_").encode() not in kept
    assert hmac.new(SECRET.encode(), key.encode(), sha256).hexdigest().encode() in kept


def test_a_secret_that_nobody_set_is_made_once(start_service: StartService, database_url: str) -> None:
    first = start_service(database_url=database_url, admin_key=ADMIN)
    key = create(first)

    second = start_service(database_url=database_url, admin_key=ADMIN)

    assert second.get("/v1/models", headers=by(key)).status_code == 200


def test_another_secret_makes_keys_useless(start_service: StartService, database_url: str) -> None:
    key = create(start_service(database_url=database_url, admin_key=ADMIN))

    other = start_service(database_url=database_url, admin_key=ADMIN, key_secret=SECRET)

    assert told(other.get("/v1/models", headers=by(key))) == (401, "invalid_key")


def test_a_change_changes_what_is_sent_and_null_removes_a_limit(locked: httpx2.Client) -> None:
    made = create(locked, budget_usd=1, requests_per_minute=5, models=["a", "b"])
    del made["key"]

    changed = locked.patch(
        f"/v1/keys/{made['id']}", json={"budget_usd": None, "images_per_minute": 7}, headers=AS_ADMIN
    ).json()

    assert changed == {**made, "budget_usd": None, "images_per_minute": 7}
    assert locked.get(f"/v1/keys/{made['id']}", headers=AS_ADMIN).json() == changed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "name: String should have at least 1 character"),
        ({"budget_usd": -1}, "budget_usd: Input should be greater than or equal to 0"),
        ({"budget_usd": 1e-10}, "budget_usd: Decimal input should have no more than 9 decimal places"),
        ({"budget_period": "week"}, "budget_period: Input should be 'day', 'month' or 'total'"),
        ({"requests_per_minute": 0}, "requests_per_minute: Input should be greater than or equal to 1"),
        ({"images_per_minute": "many"}, "images_per_minute: Input should be a valid integer"),
        ({"tokens_per_minute": True}, "tokens_per_minute: Input should be a valid integer"),
        ({"models": []}, "models: List should have at least 1 item after validation, not 0"),
        ({"expires_at": "2026-12-01T00:00:00"}, "expires_at: Input should have timezone info"),
        ({"expires_at": "2026-11-22T11:59:59Z"}, "expires_at: 2026-11-22T11:59:59+00:00 is in the past"),
        ({"admin": "yes"}, "admin: Input should be a valid boolean"),
    ],
)
def test_a_field_that_does_not_fit_is_named(quick: httpx2.Client, fields: dict[str, Any], message: str) -> None:
    response = quick.post("/v1/keys", json={"name": "an app", **fields}, headers=AS_ADMIN)

    assert told(response) == (400, "invalid_request")
    assert message_of(response) == message


def test_a_field_that_does_not_exist_is_refused_with_those_that_do(quick: httpx2.Client) -> None:
    response = quick.patch("/v1/keys/key_1", json={"budget": 1}, headers=AS_ADMIN)

    assert told(response) == (400, "unknown_field")
    assert "budget_usd" in message_of(response)


@pytest.mark.parametrize("key_id", ["key_none", "key_admin", "key_open", "key_%00", "key_é"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_id_that_is_no_key_s_is_not_found(locked: httpx2.Client, method: str, key_id: str) -> None:
    response = locked.request(method, f"/v1/keys/{key_id}", content=b"{}", headers=AS_ADMIN)

    assert told(response) == (404, "key_not_found")


def test_a_key_works_until_the_instant_it_expires(quick: httpx2.Client, clock: MovableClock) -> None:
    key = create(quick, expires_at="2026-11-22T12:00:02Z")

    clock.move(1.9)
    before = quick.get("/v1/models", headers=by(key)).status_code
    clock.move(0.1)
    after = quick.get("/v1/models", headers=by(key))

    assert before == 200
    assert told(after) == (401, "key_expired")
    assert message_of(after) == "the key expired at 2026-11-22T12:00:02Z"


def test_a_revoked_key_is_refused_at_once_where_it_was_revoked_and_stays_known(locked: httpx2.Client) -> None:
    key = create(locked)
    locked.get("/v1/models", headers=by(key)).raise_for_status()

    revoked = locked.delete(f"/v1/keys/{key['id']}", headers=AS_ADMIN)

    assert revoked.json()["revoked_at"] == "2026-11-22T12:00:00Z"
    assert told(locked.get("/v1/models", headers=by(key))) == (401, "invalid_key")
    assert locked.get(f"/v1/keys/{key['id']}", headers=AS_ADMIN).json() == revoked.json()


def test_a_revoked_key_cannot_be_brought_back(quick: httpx2.Client) -> None:
    key = create(quick)
    quick.delete(f"/v1/keys/{key['id']}", headers=AS_ADMIN).raise_for_status()

    assert told(quick.patch(f"/v1/keys/{key['id']}", json={"name": "back"}, headers=AS_ADMIN)) == (
        400,
        "invalid_request",
    )


@pytest.mark.parametrize(("waited_s", "status"), [(2.9, 200), (5.0, 401)])
def test_a_revocation_is_felt_by_another_server_within_five_seconds(
    start_service: StartService, database_url: str, locked: httpx2.Client, waited_s: float, status: int
) -> None:
    clock = MovableClock()
    other = start_service(database_url=database_url, admin_key=ADMIN, clock=clock)
    key = create(locked)
    other.get("/v1/models", headers=by(key)).raise_for_status()

    locked.delete(f"/v1/keys/{key['id']}", headers=AS_ADMIN).raise_for_status()
    clock.move(waited_s)

    assert other.get("/v1/models", headers=by(key)).status_code == status


def test_a_new_limit_is_felt_by_another_server_within_five_seconds(
    start_service: StartService, database_url: str, locked: httpx2.Client
) -> None:
    clock = MovableClock()
    other = start_service(database_url=database_url, admin_key=ADMIN, clock=clock)
    key = create(locked)
    other.post("/v1/messages/count_tokens", json=counted("claude-sonnet-5-5"), headers=by(key)).raise_for_status()

    locked.patch(f"/v1/keys/{key['id']}", json={"models": ["claude-haiku-4-5"]}, headers=AS_ADMIN).raise_for_status()
    clock.move(5)

    refusal = other.post("/v1/messages/count_tokens", json=counted("claude-sonnet-5-5"), headers=by(key))
    assert told(refusal) == (403, "model_not_allowed")


def test_an_eleventh_wrong_key_in_a_minute_must_wait_while_a_right_one_is_served(
    quick: httpx2.Client, clock: MovableClock
) -> None:
    key = create(quick)
    wrong = [quick.get("/v1/models", headers={"x-api-key": f"vp_{number}"}) for number in range(12)]
    clock.move(20)
    later = quick.get("/v1/models", headers={"x-api-key": "vp_x"})

    assert [told(response) for response in wrong] == [(401, "invalid_key")] * 10 + [(429, "rate_limited")] * 2
    assert (later.status_code, later.headers["retry-after"]) == (429, "40")
    assert quick.get("/v1/models", headers=by(key)).status_code == 200
    assert quick.get("/v1/models", headers=AS_ADMIN).status_code == 200
    clock.move(40)
    assert told(quick.get("/v1/models", headers={"x-api-key": "vp_x"})) == (401, "invalid_key")


def question(model: str, **more: object) -> dict[str, object]:
    """A small request of the Messages API."""
    return {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}], **more}


def counted(model: str) -> dict[str, object]:
    """The same, to be counted."""
    return {name: value for name, value in question(model).items() if name != "max_tokens"}


BOUND = ["claude-sonnet-5-5"]
OTHER = "claude-opus-4-8"


def _asking(service: httpx2.Client, key: Any, model: str, picture: bytes) -> list[httpx2.Response]:
    """The answers of every endpoint that names a model."""
    headers = by(key)
    image = {"data": base64.b64encode(picture).decode()}
    native = [
        service.post(path, json={"images": [image], "model": model}, headers=headers)
        for path in ("/v1/analyze", "/v1/estimate", "/v1/normalize")
    ]
    batch = {"requests": [{"custom_id": "a", "params": question(model)}]}
    return [
        *native,
        service.post("/v1/messages", json=question(model), headers=headers),
        service.post("/v1/messages", json=question(model, stream=True), headers=headers),
        service.post("/v1/messages/count_tokens", json=counted(model), headers=headers),
        service.post("/v1/messages/batches", json=batch, headers=headers),
    ]


def test_a_model_that_a_key_may_not_use_is_refused_everywhere_before_anything_is_sent(
    start_service: StartService, photo: Maker
) -> None:
    service = start_service(admin_key=ADMIN)
    nobody_there = start_service("http://127.0.0.1:9", admin_key=ADMIN, upstream_max_retries=0)
    keys = [create(each, models=BOUND) for each in (service, nobody_there)]

    right = [response.status_code for response in _asking(service, keys[0], BOUND[0], photo(8, 8))]
    wrong = [told(response) for response in _asking(nobody_there, keys[1], OTHER, photo(8, 8))]

    assert right == [200] * 7
    assert wrong == [(403, "model_not_allowed")] * 7


def test_the_refusal_of_a_model_names_those_that_are_allowed(quick: httpx2.Client) -> None:
    key = create(quick, models=["b", "a"])

    response = quick.post("/v1/messages", json=question(OTHER), headers=by(key))

    assert message_of(response) == f"this key may not use {OTHER}; it may use a, b"


def test_one_request_of_a_batch_with_a_wrong_model_refuses_the_batch_by_name(quick: httpx2.Client) -> None:
    key = create(quick, models=BOUND)
    requests = [{"custom_id": "a", "params": question(BOUND[0])}, {"custom_id": "b", "params": question(OTHER)}]

    response = quick.post("/v1/messages/batches", json={"requests": requests}, headers=by(key))

    assert told(response) == (403, "model_not_allowed")
    assert message_of(response).startswith("requests.1 (b): this key may not use")


@pytest.mark.parametrize(
    "more",
    [
        {"model": None},
        {"model": [BOUND[0]]},
        {"tools": [{"type": "advisor_20260301", "name": "advisor", "model": OTHER}]},
        {"fallbacks": [{"model": OTHER}]},
        {"fallbacks": "default"},
    ],
)
def test_a_model_is_not_smuggled_in(quick: httpx2.Client, more: dict[str, object]) -> None:
    key = create(quick, models=BOUND)

    response = quick.post("/v1/messages", json={**question(BOUND[0]), **more}, headers=by(key))

    assert told(response) == (403, "model_not_allowed")


def test_files_of_one_key_are_invisible_to_another(locked: httpx2.Client, photo: Maker) -> None:
    one, other = create(locked), create(locked)
    file_id = locked.post("/v1/files", files={"file": ("a.jpg", photo(8, 8))}, headers=by(one)).json()["id"]
    by_file: Any = {"type": "image", "source": {"type": "file", "file_id": file_id}}
    using: Any = question(BOUND[0], messages=[{"role": "user", "content": [by_file]}])

    for stranger in (by(other), AS_ADMIN):
        assert locked.get("/v1/files", headers=stranger).json()["data"] == []
        for response in (
            locked.get(f"/v1/files/{file_id}", headers=stranger),
            locked.delete(f"/v1/files/{file_id}", headers=stranger),
            locked.get(f"/v1/files/{file_id}/content", headers=stranger),
            locked.post("/v1/messages", json=using, headers=stranger),
            locked.post("/v1/analyze", json={"images": [{"file_id": file_id}]}, headers=stranger),
        ):
            assert response.status_code == 404
    assert locked.get(f"/v1/files/{file_id}", headers=by(one)).status_code == 200


PUBLIC = {
    *("/", "/usage", "/static/{path:path}", "/livez", "/readyz", "/metrics"),
    *("/docs", "/docs/oauth2-redirect", "/openapi.json", "/static-offline-docs"),
}
ADMINS = {"/v1/keys", "/v1/keys/{key_id}"}
ANY_KEY = {
    *(
        "/v1/analyze",
        "/v1/extract",
        "/v1/locate",
        "/v1/estimate",
        "/v1/normalize",
        "/v1/messages",
        "/v1/messages/count_tokens",
    ),
    *("/v1/models", "/v1/models/{model_id}", "/v1/files", "/v1/files/{file_id}", "/v1/files/{file_id}/content"),
    *("/v1/messages/batches", "/v1/messages/batches/{batch_id}", "/v1/messages/batches/{batch_id}/cancel"),
    *("/v1/messages/batches/{batch_id}/results", "/v1/tokens", "/v1/usage", "/v1/usage/requests"),
}


def routes() -> list[tuple[str, str]]:
    """Method and path of every route of the service."""
    found: list[tuple[str, str]] = []
    for context in iter_route_contexts(create_app(Settings()).routes):
        path: str = getattr(context, "path", None) or getattr(context.route, "path", "")
        methods: set[str] = getattr(context, "methods", None) or {"GET"}
        found += [(method, path) for method in sorted(methods)]
    return found


def filled(path: str) -> str:
    """The path with an id in it."""
    return re.sub(r"\{\w+\}", "some_id", path)


def test_every_route_is_said_to_be_for_everybody_for_any_key_or_for_admins() -> None:
    assert {path for _, path in routes()} == PUBLIC | ADMINS | ANY_KEY


@pytest.mark.parametrize(("method", "path"), [route for route in routes() if route[1] in ADMINS | ANY_KEY])
def test_a_route_that_is_not_public_is_closed_to_whoever_has_no_key(
    start_service: StartService, method: str, path: str
) -> None:
    assert told(start_service(admin_key=ADMIN).request(method, filled(path))) == (401, "invalid_key")


@pytest.mark.parametrize(("method", "path"), [route for route in routes() if route[1] in ADMINS])
def test_a_route_for_admins_is_closed_to_a_plain_key_and_to_an_admin_s_token(
    quick: httpx2.Client, method: str, path: str
) -> None:
    key = create(quick)["key"]
    token = quick.post("/v1/tokens", json={"ttl_s": 60}, headers=AS_ADMIN).json()["token"]

    answers = [quick.request(method, filled(path), headers={"x-api-key": sent}) for sent in (key, token)]

    assert [told(answer) for answer in answers] == [(403, "admin_only")] * 2


def test_an_admin_key_of_the_database_manages_keys(quick: httpx2.Client) -> None:
    admin = create(quick, admin=True)

    assert quick.get("/v1/keys", headers=by(admin)).status_code == 200


def test_a_loopback_service_is_open_until_the_first_key_is_made(
    start_service: StartService, database_url: str, clock: MovableClock
) -> None:
    service, other = (start_service(database_url=database_url, clock=clock) for _ in range(2))
    assert other.get("/v1/models").status_code == 200
    first = service.post("/v1/keys", json={"name": "me", "admin": True}).json()

    assert told(service.get("/v1/models")) == (401, "invalid_key")
    clock.move(5)
    assert told(other.get("/v1/models")) == (401, "invalid_key")
    assert other.get("/v1/keys", headers=by(first)).status_code == 200


def test_the_first_key_must_be_one_that_can_make_others(start_service: StartService, database_url: str) -> None:
    service = start_service(database_url=database_url)

    plain = service.post("/v1/keys", json={"name": "app"})
    passing = service.post("/v1/keys", json={"name": "me", "admin": True, "expires_at": "2090-01-01T00:00:00Z"})

    assert [told(plain), told(passing)] == [(400, "invalid_request")] * 2
    assert service.get("/v1/models").status_code == 200


def _every_way_to_lose(service: httpx2.Client, admin: Any) -> list[httpx2.Response]:
    path = f"/v1/keys/{admin['id']}"
    return [
        service.delete(path, headers=by(admin)),
        service.patch(path, json={"admin": False}, headers=by(admin)),
        service.patch(path, json={"expires_at": "2090-01-01T00:00:00Z"}, headers=by(admin)),
    ]


def test_the_last_admin_cannot_be_lost_until_there_is_another(start_service: StartService, database_url: str) -> None:
    service = start_service(database_url=database_url)
    admin = service.post("/v1/keys", json={"name": "me", "admin": True}).json()

    lost = _every_way_to_lose(service, admin)
    service.post("/v1/keys", json={"name": "you", "admin": True}, headers=by(admin)).raise_for_status()
    revoked = service.delete(f"/v1/keys/{admin['id']}", headers=by(admin))

    assert [told(response) for response in lost] == [(400, "invalid_request")] * 3
    assert revoked.status_code == 200


def test_two_admins_that_revoke_each_other_at_once_leave_one(start_service: StartService, database_url: str) -> None:
    service = start_service(database_url=database_url)
    one = service.post("/v1/keys", json={"name": "one", "admin": True}).json()
    two = service.post("/v1/keys", json={"name": "two", "admin": True}, headers=by(one)).json()

    def revoke(whom: Any, who: Any) -> httpx2.Response:
        return service.delete(f"/v1/keys/{whom['id']}", headers=by(who))

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(revoke, (one, two), (two, one)))

    assert sorted(answer.status_code for answer in answers) in ([200, 400], [200, 401])


def test_an_end_beyond_the_calendar_is_refused(locked: httpx2.Client) -> None:
    made = create(locked)
    never = {"name": "x", "expires_at": "9999-12-31T23:59:59-12:00"}

    answers = [
        locked.post("/v1/keys", json=never, headers=AS_ADMIN),
        locked.patch(f"/v1/keys/{made['id']}", json=never, headers=AS_ADMIN),
    ]

    assert [told(answer) for answer in answers] == [(400, "invalid_request")] * 2
    assert {answer.json()["error"]["details"]["field"] for answer in answers} == {"expires_at"}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`vision-proxy ARGUMENTS`, once it has ended."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")} | variables
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "app", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_the_command_line_creates_lists_changes_and_revokes(start_service: StartService, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    service = start_service(database_url=url)

    def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run("keys", *arguments, VISION_PROXY_DATABASE_URL=url)

    admin = json.loads(keys("create", "--name", "me", "--admin").stdout)
    made = json.loads(keys("create", "--name", "app", "--models", "a, b", "--budget-usd", "2.5").stdout)
    changed = json.loads(keys("change", made["id"], "--models", "none", "--requests-per-minute", "9").stdout)
    revoked = json.loads(keys("revoke", made["id"]).stdout)
    listed = [json.loads(line) for line in keys("list").stdout.splitlines()]
    refused = keys("revoke", admin["id"])

    assert (made["models"], made["budget_usd"]) == (["a", "b"], 2.5)
    assert (changed["models"], changed["requests_per_minute"], changed["budget_usd"]) == (None, 9, 2.5)
    assert revoked["revoked_at"] is not None
    assert [(key["name"], "key" in key) for key in listed] == [("app", False), ("me", False)]
    assert (refused.returncode, "the last admin key" in refused.stderr) == (2, True)
    assert service.get("/v1/keys", headers=by(admin)).status_code == 200


def test_services_that_start_at_once_away_from_loopback_make_one_key(
    start_service: StartService, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def start(_: int) -> httpx2.Client:
        return start_service(database_url=database_url, host="192.0.2.1")

    with ThreadPoolExecutor(4) as pool:
        services = list(pool.map(start, range(4)))
        for service in services:
            service.get("/readyz").raise_for_status()

    [key] = re.findall(r"shown this once, is (vp_\S+)", capfd.readouterr().err)
    assert [service.get("/v1/keys", headers={"x-api-key": key}).status_code for service in services] == [200] * 4
    assert [told(service.get("/v1/models")) for service in services] == [(401, "invalid_key")] * 4
