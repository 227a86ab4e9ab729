"""/v1/messages/batches: what reaches the vendor, what comes back, and what each result cost."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Generator
from io import BytesIO
from typing import Any

import anthropic
import anyio
import httpx2
import pillow_heif
import pytest
from PIL import Image

from app.errors import AppError
from app.pipeline import RequestPolicy, Services
from app.pipeline.batch_preparing import make_ready_batch
from app.pipeline.batch_results import BatchBill, results_with_cost
from app.services import open_services
from app.settings import Settings

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]

PATH = "/v1/messages/batches"
SONNET = "claude-sonnet-5-5"
HELD = {"x-vision-proxy-sandbox-fault": "hold"}


def block(picture: bytes, media_type: str = "image/jpeg") -> dict[str, Any]:
    data = base64.b64encode(picture).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def params(*content: Any, model: str = SONNET, **more: Any) -> dict[str, Any]:
    blocks = list(content) or [{"type": "text", "text": "hi"}]
    return {"model": model, "max_tokens": 60, "messages": [{"role": "user", "content": blocks}], **more}


def batch_of(*requests: dict[str, Any]) -> dict[str, Any]:
    return {"requests": [{"custom_id": f"r{number}", "params": one} for number, one in enumerate(requests)]}


def sent_sizes(wire: Any) -> list[list[tuple[str, tuple[int, int]]]]:
    """Declared and true format, and size, of every picture of every request that left."""
    found: list[list[tuple[str, tuple[int, int]]]] = []
    for one in wire.last_request["requests"]:
        sources = [part["source"] for part in one["params"]["messages"][0]["content"] if part["type"] == "image"]
        pictures = [Image.open(BytesIO(base64.b64decode(source["data"], validate=True))) for source in sources]
        assert [Image.MIME[picture.format or ""] for picture in pictures] == [each["media_type"] for each in sources]
        found.append([(source["media_type"], picture.size) for source, picture in zip(sources, pictures, strict=True)])
    return found


def results_of(service: httpx2.Client, batch: Any) -> dict[str, Any]:
    """The result of each request by its `custom_id`."""
    lines = service.get(f"{PATH}/{batch['id']}/results").raise_for_status().text.splitlines()
    return {line["custom_id"]: line["result"] for line in map(json.loads, lines)}


def visits(sandbox: httpx2.Client, case: str) -> list[dict[str, Any]]:
    """What the sandbox noted of this test's requests, once none is in progress there."""
    journal = sandbox.get("/sandbox/journal", params={"settled": "true"}).json()
    return [visit for visit in journal if visit["headers"].get("x-vision-proxy-sandbox-case") == case]


@pytest.fixture
def sdk(service: httpx2.Client) -> Generator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=str(service.base_url), api_key="any", max_retries=0) as client:
        yield client


def test_the_official_sdk_takes_a_batch_through_its_whole_life(sdk: anthropic.Anthropic, photo: Maker) -> None:
    one: Any = {"custom_id": "a", "params": params(block(photo(3000, 2000)))}

    batch = sdk.messages.batches.create(requests=[one])
    found = sdk.messages.batches.retrieve(batch.id)
    listed = [each.id for each in sdk.messages.batches.list(limit=5).data]
    [line] = list(sdk.messages.batches.results(batch.id))
    deleted = sdk.messages.batches.delete(batch.id)

    assert found == batch
    assert batch.id in listed
    assert line.result.type == "succeeded"
    assert line.result.message.usage.model_extra is not None
    assert line.result.message.usage.model_extra["cost"] > 0
    assert (deleted.id, deleted.type) == (batch.id, "message_batch_deleted")
    with pytest.raises(anthropic.NotFoundError):
        sdk.messages.batches.retrieve(batch.id)


def test_a_held_batch_is_cancelled_and_what_had_not_begun_is_told(
    sdk: anthropic.Anthropic, service: httpx2.Client
) -> None:
    one: Any = {"custom_id": "a", "params": params()}
    batch = sdk.messages.batches.create(requests=[one], extra_headers=HELD)

    canceling = sdk.messages.batches.cancel(batch.id)

    assert (batch.processing_status, batch.results_url) == ("in_progress", None)
    assert canceling.processing_status == "canceling"
    assert sdk.messages.batches.retrieve(batch.id).processing_status == "ended"
    assert results_of(service, {"id": batch.id}) == {"a": {"type": "canceled"}}


def test_the_pictures_of_every_request_are_prepared(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    heic = BytesIO()
    pillow_heif.from_pillow(Image.open(BytesIO(photo(600, 800)))).save(heic)  # pyright: ignore[reportUnknownMemberType]
    uri = "data:image/jpeg;base64," + base64.b64encode(photo(640, 480)).decode()
    by_uri = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": uri}}

    response = recorded.post(
        PATH,
        json=batch_of(
            params(block(heic.getvalue(), "image/png")),
            params(*[block(photo(2300, 120))] * 21),
            params(),
            params(by_uri),
        ),
    )

    assert response.json()["request_counts"]["succeeded"] == 4
    [one], many, none, [other] = sent_sizes(wire)
    assert one == ("image/jpeg", (600, 800))
    assert len(many) == 21
    assert all(max(size) <= 2000 for _, size in many)
    assert none == []
    assert other == ("image/jpeg", (640, 480))


def test_each_request_is_sized_for_its_own_model(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    picture = block(photo(3000, 2000))

    response = recorded.post(PATH, json=batch_of(params(picture), params(picture, model="claude-sonnet-4-6")))

    [[(_, high)], [(_, standard)]] = sent_sizes(wire)
    assert high == (2352, 1568)
    assert max(standard) <= 1568
    assert response.headers["x-vision-proxy-image-tokens"] == str(
        84 * 56 + -(-standard[0] // 28) * -(-standard[1] // 28)
    )


def test_a_batch_without_pictures_travels_byte_for_byte(recorded: httpx2.Client, wire: Any) -> None:
    one = '{ "max_tokens":1e2, "model" : "claude-sonnet-5-5",\n "messages":[{"content":"\u00e9","role":"user"}] }'
    body = ('{ "requests" : [ {"params":' + one + ', "custom_id":"a"} ] }').encode()

    recorded.post(PATH, content=body, headers={"content-type": "application/json"})

    assert wire.bodies == [body]


def test_beside_pictures_everything_keeps_its_order_and_spelling(
    recorded: httpx2.Client, wire: Any, photo: Maker
) -> None:
    """The sandbox refuses the unknown members; by then they have passed."""
    text = '{ "x":1.50, "params": {"max_tokens":1e2, "messages" : [ {"content":"\\u00e9"} ]},"custom_id":"\\u0061" }'
    picture = block(photo(3000, 2000))
    pictured = '{"custom_id":"b","params":' + json.dumps(params(picture), separators=(",", ":")) + ',"y":1E2}'
    body = '{"first":[ 1.0 ],"requests":[' + text + "," + pictured + '],"last":{ }}'

    recorded.post(PATH, content=body, headers={"content-type": "application/json"})

    data = wire.last_request["requests"][1]["params"]["messages"][0]["content"][0]["source"]["data"]
    assert wire.bodies[-1].decode() == body.replace(picture["source"]["data"], data)


def test_more_requests_than_are_prepared_together_keep_their_order(
    recorded: httpx2.Client, wire: Any, photo: Maker
) -> None:
    picture = block(photo(64, 48))

    recorded.post(PATH, json=batch_of(*[params(picture) if number % 3 else params() for number in range(30)]))

    sent = wire.last_request["requests"]
    assert [one["custom_id"] for one in sent] == [f"r{number}" for number in range(30)]
    assert [len(pictures) for pictures in sent_sizes(wire)] == [1 if number % 3 else 0 for number in range(30)]


@pytest.mark.parametrize("unusable", [b"%PDF-1.7", b"\xff\xd8\xff\xe0 and no more"])
def test_a_picture_that_cannot_be_used_refuses_the_whole_batch(
    recorded: httpx2.Client, wire: Any, photo: Maker, unusable: bytes
) -> None:
    good = block(photo(64, 48))

    response = recorded.post(
        PATH, json=batch_of(params(good), params(), params(good, block(unusable)), params(block(b"")))
    )

    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith("requests.2 (r2): image 2: ")
    assert {name: error["details"][name] for name in ("request", "custom_id", "image")} == {
        "request": 2,
        "custom_id": "r2",
        "image": 2,
    }
    assert wire.bodies == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "the body must be a JSON object: Expected `object`, got `array`"),
        (b'{"requests":{}}', "requests must be an array: Expected `array`, got `object`"),
        (b'{"requests":[{},{"custom_id":"a","x":"\xff"}]}', "requests.1 (a): the body is not UTF-8 at byte 22"),
        (
            b'{"requests":[{"custom_id":"a\\n","params":["image"]}]}',
            "requests.0 (a): the body must be a JSON object: Expected `object`, got `array`",
        ),
    ],
)
def test_a_body_that_is_no_batch_is_refused(recorded: httpx2.Client, wire: Any, body: bytes, message: str) -> None:
    response = recorded.post(PATH, content=body)

    assert (response.status_code, response.json()["error"]["message"]) == (400, message)
    assert wire.bodies == []


@pytest.mark.parametrize(
    "body", ["{}", '{"requests":[]}', '{"requests":[{"custom_id":"a"}]}', '{"requests":["image"]}']
)
def test_what_else_is_odd_the_vendor_says(service: httpx2.Client, sandbox: httpx2.Client, body: str) -> None:
    headers = {"content-type": "application/json"}
    through = service.post(PATH, content=body, headers=headers)
    direct = sandbox.post(PATH, content=body, headers=headers)

    assert (through.status_code, through.json()["error"]) == (direct.status_code, direct.json()["error"])
    assert through.headers["request-id"].startswith("req_sandbox_")


def test_a_body_over_the_cap_is_refused(start_service: StartService) -> None:
    response = start_service(max_body_bytes=1_000).post(PATH, json=batch_of(*[params()] * 20))

    assert (response.status_code, response.json()["error"]["details"]["error_code"]) == (413, "body_too_large")


def test_queries_and_anthropic_headers_go_on_and_the_client_s_key_does_not(
    service: httpx2.Client, sandbox: httpx2.Client, case: str
) -> None:
    headers = {
        "anthropic-beta": "output-300k-2026-03-24",
        "anthropic-version": "2023-06-01",
        "x-api-key": "the-client-s-own-key",
        "x-vision-proxy-sandbox-case": case,
    }

    response = service.post(f"{PATH}?beta=true", json=batch_of(params()), headers=headers)

    [visit] = visits(sandbox, case)
    assert visit["headers"]["anthropic-beta"] == "output-300k-2026-03-24"
    assert visit["headers"]["anthropic-version"] == "2023-06-01"
    assert "the-client-s-own-key" not in json.dumps(visit)
    assert "anthropic-ratelimit-requests-limit" in response.headers
    assert "normalize;dur=" in response.headers["server-timing"]


def test_a_batch_comes_back_as_the_vendor_said_it_with_results_at_this_service(
    service: httpx2.Client, sandbox: httpx2.Client
) -> None:
    created = service.post(PATH, json=batch_of(params())).json()
    original = sandbox.get(f"{PATH}/{created['id']}").json()

    own = {**original, "results_url": f"{str(service.base_url).rstrip('/')}{PATH}/{created['id']}/results"}
    page = service.get(PATH, params={"limit": 1}).json()
    assert created == own
    assert list(created) == list(original)
    assert service.get(f"{PATH}/{created['id']}").json() == own
    assert service.get(PATH, params={"limit": 1000}).json()["data"].count(own) == 1
    assert page == {**page, "data": page["data"][:1], "first_id": page["data"][0]["id"]}


def test_results_are_at_the_host_that_the_client_asked(service: httpx2.Client) -> None:
    batch = service.post(PATH, json=batch_of(params()), headers={"host": "localhost:81"}).json()

    assert batch["results_url"] == f"http://localhost:81{PATH}/{batch['id']}/results"


def test_a_batch_that_does_not_exist_is_a_404_in_the_vendor_s_words(
    service: httpx2.Client, sandbox: httpx2.Client
) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/results")):
        through = service.request(method, f"{PATH}/msgbatch_none{path}")
        direct = sandbox.request(method, f"{PATH}/msgbatch_none{path}").json()["error"]
        error = through.json()["error"]
        assert (through.status_code, error["type"], error["message"]) == (404, direct["type"], direct["message"])
        assert error["details"]["error_code"] == "batch_not_found"


@pytest.mark.parametrize("batch_id", ["%2e%2e", "a%3Fb=c", "a%23b", "a%20b"])
def test_an_id_that_leads_elsewhere_at_the_vendor_is_not_passed_on(
    recorded: httpx2.Client, wire: Any, batch_id: str
) -> None:
    response = recorded.get(f"{PATH}/{batch_id}/results")

    assert (response.status_code, response.json()["error"]["details"]["error_code"]) == (404, "batch_not_found")
    assert wire.bodies == []


RATES = {SONNET: (2, 10), "claude-opus-5": (5, 25), "claude-haiku-4-5": (1, 5)}
"""USD for a million tokens in and out, at the standard price.

Source: https://platform.claude.com/docs/en/about-claude/pricing, seen 2026-08-22.
"""


@pytest.mark.parametrize("model", list(RATES))
def test_a_result_costs_half_of_the_standard_price(service: httpx2.Client, photo: Maker, model: str) -> None:
    batch = service.post(PATH, json=batch_of(params(block(photo(640, 480)), model=model))).json()

    usage = results_of(service, batch)["r0"]["message"]["usage"]

    rate_in, rate_out = RATES[model]
    standard = (usage["input_tokens"] * rate_in + usage["output_tokens"] * rate_out) / 1e6
    assert usage["input_tokens"] > 400
    assert usage["cost"] == pytest.approx(standard / 2, abs=1e-9)


def test_results_are_the_vendor_s_lines_but_for_the_cost(service: httpx2.Client, sandbox: httpx2.Client) -> None:
    batch = service.post(PATH, json=batch_of(params(), params(nonsense=1), params())).json()
    direct = sandbox.get(f"{PATH}/{batch['id']}/results")

    through = service.get(f"{PATH}/{batch['id']}/results")

    lines, original = through.text.splitlines(keepends=True), direct.text.splitlines(keepends=True)
    costs = [json.loads(line)["result"].get("message", {}).get("usage", {}).get("cost") for line in lines]
    assert [
        line.replace(f',"cost":{cost:.9f}'.rstrip("0"), "") if cost else line
        for line, cost in zip(lines, costs, strict=True)
    ] == original
    assert [cost is not None for cost in costs] == [True, False, True]
    assert lines[1] == original[1]
    assert through.headers["content-type"] == direct.headers["content-type"] == "application/x-jsonl"


def test_three_hundred_results_all_arrive_with_their_cost(service: httpx2.Client) -> None:
    batch = service.post(PATH, json=batch_of(*[params()] * 300)).json()

    results = results_of(service, batch)

    assert set(results) == {f"r{number}" for number in range(300)}
    assert all(result["message"]["usage"]["cost"] > 0 for result in results.values())


def test_results_that_are_cut_do_not_look_complete(service: httpx2.Client) -> None:
    batch = service.post(PATH, json=batch_of(*[params()] * 10)).json()
    received = b""

    def read() -> None:
        nonlocal received
        with service.stream(
            "GET", f"{PATH}/{batch['id']}/results", headers={"x-vision-proxy-sandbox-fault": "cut"}
        ) as response:
            for chunk in response.iter_bytes():
                received += chunk

    with pytest.raises(httpx2.RemoteProtocolError):
        read()

    assert [json.loads(line)["custom_id"] for line in received.splitlines()] == ["r9", "r8", "r7", "r6", "r5"]
    assert service.get("/livez").status_code == 200


def test_a_client_that_leaves_after_the_first_result_closes_the_upstream_stream(
    service: httpx2.Client, sandbox: httpx2.Client, case: str
) -> None:
    """The second line is an hour away, so the first one has come by itself."""
    batch = service.post(PATH, json=batch_of(params(), params())).json()
    headers = {"x-vision-proxy-sandbox-fault": "drip=3600", "x-vision-proxy-sandbox-case": case}

    with service.stream("GET", f"{PATH}/{batch['id']}/results", headers=headers) as response:
        line = next(response.iter_lines())

    [visit] = visits(sandbox, case)
    assert json.loads(line)["custom_id"] == "r1"
    assert visit["disconnected"] is True


def run(work: Callable[[Services], Any]) -> Any:
    """The result of work with the real services."""
    settings = {"anthropic_api_key": "test", "database_url": "sqlite+aiosqlite:///:memory:"}

    async def with_services() -> Any:
        async with open_services(Settings.model_validate(settings)) as services:
            return await work(services)

    return anyio.run(with_services)


def result_line(usage: str, **message: Any) -> bytes:
    text = json.dumps({"model": SONNET, "content": [1], **message})[:-1] + ', "usage": ' + usage + "}"
    return ('{"custom_id":"a","result":{"type":"succeeded","message":' + text + "}}\n").encode()


def priced(lines: bytes, chunk_bytes: int) -> bytes:
    """The lines as they come out where they came in chunks of that size."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(lines), chunk_bytes):
            yield lines[start : start + chunk_bytes]

    async def work(services: Services) -> bytes:
        lines = results_with_cost(chunks(), services.clock.now(), BatchBill(), services)
        return b"".join([line async for line in lines])

    return run(work)


MILLION = '{"output_tokens": 0, "input_tokens": 1000000}'


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 64, 1_000_000])
def test_lines_are_found_however_they_are_cut(chunk_bytes: int) -> None:
    errored = b'{ "custom_id": "b", "result": {"type": "errored", "error": {}} }\n'
    untidy = b"\r\n\n<html>\xff\n"

    priced_lines = priced(result_line(MILLION) + untidy + errored + errored[:-1], chunk_bytes)

    answer, rest = priced_lines.split(b"\n", 1)
    assert json.loads(answer)["result"]["message"]["usage"]["cost"] == 1.0
    assert rest == untidy + errored + errored[:-1]


def test_a_line_of_megabytes_is_priced_too() -> None:
    line = result_line(MILLION, content=["x" * 3_000_000])

    answer = json.loads(priced(line, 65_536))

    assert answer["result"]["message"]["usage"]["cost"] == 1.0
    assert answer["result"]["message"]["content"] == ["x" * 3_000_000]


@pytest.mark.parametrize(
    ("usage", "message", "cost"),
    [
        ('{"input_tokens": 1000000, "output_tokens": 100000}', {}, 1.5),
        ('{"input_tokens": 1000000, "output_tokens": 0, "service_tier": "standard"}', {}, 1.0),
        ('{"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": 1000000}', {}, 0.05),
        ('{"input_tokens": 1000000, "output_tokens": 0, "inference_geo": "us"}', {}, 1.1),
        ('{"input_tokens": 1000000, "output_tokens": 9}', {"stop_reason": "refusal", "content": []}, 0.0),
        ('{"input_tokens": 1000000, "output_tokens": 0}', {"model": "claude-nine"}, None),
        ('{"input_tokens": null, "output_tokens": 0}', {}, None),
    ],
)
def test_the_cost_of_a_result_is_told_by_its_usage(usage: str, message: dict[str, Any], cost: float | None) -> None:
    answer = json.loads(priced(result_line(usage, **message), 100))

    assert answer["result"]["message"]["usage"] == {**json.loads(usage), "cost": cost}


POLICY = RequestPolicy("", "off", 10_000_000, 10_000_000, steady=False)


def refused(batch: dict[str, Any], max_bytes: int) -> AppError:
    told: list[AppError] = []

    async def work(services: Services) -> None:
        with pytest.raises(AppError) as raised:
            await make_ready_batch(json.dumps(batch).encode(), POLICY, services, max_bytes)
        told.append(raised.value)

    run(work)
    return told[0]


def test_a_batch_that_stays_too_large_is_refused_with_figures(photo: Maker) -> None:
    picture = block(photo(64, 48))
    one = len(json.dumps(params(picture)))

    error = refused(batch_of(*[params(picture)] * 5), 3 * one)

    size_bytes = error.details["actual"]
    assert error.code == "request_too_large_after_normalizing"
    assert error.message == f"the first 3 of 5 requests take {size_bytes} bytes; a whole batch may be {3 * one}"
    assert (error.details["limit"], error.details["request"]) == (3 * one, 2)


def test_a_batch_of_texts_that_is_too_large_is_refused_with_figures() -> None:
    batch = batch_of(params(), params())

    error = refused(batch, 200)

    size_bytes = len(json.dumps(batch))
    assert error.message == f"the first 2 of 2 requests take {size_bytes} bytes; a whole batch may be 200"
