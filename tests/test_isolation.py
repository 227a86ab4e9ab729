"""What belongs to one key is invisible to another: every route is enumerated, so that a new one cannot be forgotten.

A route that shows or uses something owned has a `Check`; one that does not is in `NOTHING_OWNED`.
Whoever adds a kind of thing that a key owns adds its name to `Owned.marks`, and the routes that show it to `CHECKS`.
Every route that reads an `Idempotency-Key` has a body in `SPENDING`.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.conftest import ADMIN, StartService
from tests.test_keys import ADMINS, ANY_KEY, routes

Maker = Callable[..., bytes]

MODEL = "claude-haiku-4-5"


@dataclass(frozen=True, slots=True)
class Owned:
    """What one key has, and a service where another has nothing."""

    service: httpx2.Client
    owner: dict[str, str]
    stranger: dict[str, str]
    key_id: str
    file_id: str
    batch_id: str
    request_id: str

    @property
    def marks(self) -> tuple[str, ...]:
        """What must stand in no answer to the other."""
        return (self.key_id, self.file_id, self.batch_id, self.request_id)


@dataclass(frozen=True, slots=True)
class Check:
    """A request that shows its maker something of what it owns, or works because that is there.

    `refused` is the status that the stranger gets; None where it is answered, and sees nothing.
    """

    method: str
    path: str
    ask: Callable[[Owned], dict[str, Any]] = lambda _: {}
    refused: int | None = None

    @property
    def id(self) -> str:
        return f"{self.method} {self.path} {self.refused}"

    def send(self, owned: Owned, headers: dict[str, str]) -> httpx2.Response:
        path = self.path.format(file_id=owned.file_id, batch_id=owned.batch_id)
        asked = self.ask(owned)
        return owned.service.request(self.method, path, **{**asked, "headers": headers | asked.get("headers", {})})


def _by_file(owned: Owned) -> dict[str, Any]:
    return {"json": {"model": MODEL, "images": [{"file_id": owned.file_id}]}}


def _for_data(owned: Owned) -> dict[str, Any]:
    return {"json": {**_by_file(owned)["json"], "schema": {"type": "object"}}}


def _for_boxes(owned: Owned) -> dict[str, Any]:
    return {"json": {**_by_file(owned)["json"], "target": "every table"}}


def _message(owned: Owned) -> dict[str, Any]:
    image = {"type": "image", "source": {"type": "file", "file_id": owned.file_id}}
    return {"model": MODEL, "messages": [{"role": "user", "content": [image]}]}


def _batch(owned: Owned) -> dict[str, Any]:
    return {"json": {"requests": [{"custom_id": "a", "params": {**_message(owned), "max_tokens": 9}}]}}


def _of_key(owned: Owned) -> dict[str, Any]:
    return {"params": {"key": owned.key_id}}


CHECKS = [
    Check("GET", "/v1/files"),
    Check("GET", "/v1/files/{file_id}", refused=404),
    Check("GET", "/v1/files/{file_id}/content", refused=404),
    Check("DELETE", "/v1/files/{file_id}", refused=404),
    Check("POST", "/v1/analyze", _by_file, refused=404),
    Check("POST", "/v1/extract", _for_data, refused=404),
    Check("POST", "/v1/locate", _for_boxes, refused=404),
    Check("POST", "/v1/estimate", _by_file, refused=404),
    Check("POST", "/v1/normalize", _by_file, refused=404),
    Check("POST", "/v1/messages", lambda owned: {"json": {**_message(owned), "max_tokens": 9}}, refused=404),
    Check("POST", "/v1/messages/count_tokens", lambda owned: {"json": _message(owned)}, refused=404),
    Check("POST", "/v1/messages/batches", _batch, refused=404),
    Check("GET", "/v1/usage"),
    Check("GET", "/v1/usage", _of_key, refused=403),
    Check("GET", "/v1/usage/requests"),
    Check("GET", "/v1/usage/requests", lambda _: {"headers": {"accept": "text/csv"}}),
    Check("GET", "/v1/usage/requests", _of_key, refused=403),
    Check("GET", "/v1/messages/batches"),
    Check("GET", "/v1/messages/batches/{batch_id}", refused=404),
    Check("GET", "/v1/messages/batches/{batch_id}/results", refused=404),
    Check("POST", "/v1/messages/batches/{batch_id}/cancel", refused=404),
    Check("DELETE", "/v1/messages/batches/{batch_id}", refused=404),
]

NOTHING_OWNED = {
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model_id}"),
    ("POST", "/v1/files"),  # makes something
    ("POST", "/v1/tokens"),  # as above
}

_ASKED = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "What?"}]}

SPENDING: dict[str, Callable[[str], dict[str, Any]]] = {
    "/v1/analyze": lambda data: {"images": [{"data": data}]},
    "/v1/extract": lambda data: {"images": [{"data": data}], "schema": {"type": "object"}},
    "/v1/locate": lambda data: {"images": [{"data": data}], "target": "every table"},
    "/v1/messages": lambda _: _ASKED,
    "/v1/messages/batches": lambda _: {"requests": [{"custom_id": "a", "params": _ASKED}]},
}


@pytest.fixture
def owned(start_service: StartService, photo: Maker) -> Owned:
    service = start_service(admin_key=ADMIN)
    owner, other = (made(service, name) for name in ("owner", "stranger"))
    headers = {"x-api-key": owner["key"]}
    picture = photo(64, 48)
    file_id = service.post("/v1/files", files={"file": ("a.jpg", picture)}, headers=headers).json()["id"]
    body = {"model": MODEL, "images": [{"data": base64.b64encode(picture).decode()}]}
    answer = service.post("/v1/analyze", json=body, headers=headers).json()
    batch = SPENDING["/v1/messages/batches"]("")
    batch_id = service.post("/v1/messages/batches", json=batch, headers=headers).json()["id"]
    return Owned(service, headers, {"x-api-key": other["key"]}, owner["id"], file_id, batch_id, answer["request_id"])


def made(service: httpx2.Client, name: str) -> Any:
    return service.post("/v1/keys", json={"name": name}, headers={"x-api-key": ADMIN}).raise_for_status().json()


def test_every_route_for_keys_shows_nothing_owned_or_is_checked() -> None:
    found = {(method, path) for method, path in routes() if path in ANY_KEY}

    assert {(check.method, check.path) for check in CHECKS} | NOTHING_OWNED == found
    assert not ADMINS & {path for _, path in found}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_what_belongs_to_one_key_is_invisible_to_another(owned: Owned, check: Check) -> None:
    stranger = check.send(owned, owned.stranger)
    owner = check.send(owned, owned.owner)

    if check.refused is None:
        assert (stranger.status_code, owner.status_code) == (200, 200)
        assert not [mark for mark in owned.marks if mark in stranger.text]
        assert [mark for mark in owned.marks if mark in owner.text]
    else:
        assert stranger.status_code == check.refused, stranger.text
        assert owner.status_code not in {403, 404}, owner.text


def test_every_route_that_reads_an_idempotency_key_is_asked(service: httpx2.Client) -> None:
    described = service.get("/openapi.json").json()["paths"]
    reading = {
        path
        for path, verbs in described.items()
        if any(one["name"] == "Idempotency-Key" for one in verbs.get("post", {}).get("parameters", []))
    }

    assert reading == set(SPENDING)


@pytest.mark.parametrize("path", SPENDING)
def test_the_answer_kept_for_one_key_is_not_given_to_another(owned: Owned, photo: Maker, path: str) -> None:
    asked = SPENDING[path](base64.b64encode(photo(64, 48)).decode())

    answers = [
        owned.service.post(path, json=asked, headers={**headers, "idempotency-key": "one"}).raise_for_status()
        for headers in (owned.owner, owned.stranger, owned.owner)
    ]

    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, None, "true"]
    assert answers[0].json()["id"] != answers[1].json()["id"]
