"""What of a body travels as the very bytes that came, whatever it holds and however it is spelt."""

import base64
import json
from collections.abc import Callable
from random import Random
from typing import Any, cast

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Maker = Callable[..., bytes]

MODEL = "claude-sonnet-5-5"
JSON_HEADERS = {"content-type": "application/json"}
LONG = "QUJD" * 2_000
ODD_TEXTS = ['é\n"quoted"', '"data":"', '{"data": "x"}', "\\", "\u2028 \U0001f600", '"image"', LONG, LONG + '"\\']


@pytest.fixture(scope="module")
def pictures(photo: Maker) -> list[str]:
    """Some that need nothing, too short to be cut out and long enough."""
    made = [photo(16, 16), photo(160, 120), photo(320, 240), photo(64, 48, "PNG")]
    return [base64.b64encode(data).decode() for data in made]


def spelt(value: Any, random: Random) -> str:
    """JSON of a value, in one of its many spellings: white space, order of members, numbers, escapes."""

    def gap() -> str:
        return random.choice(["", "", " ", "\n  ", "\t"])

    if isinstance(value, dict):
        members: dict[str, Any] = cast("dict[str, Any]", value)
        names = random.sample(list(members), len(members))
        items = [f"{json.dumps(name)}{gap()}:{gap()}{spelt(members[name], random)}" for name in names]
        return "{" + (",".join(f"{gap()}{item}{gap()}" for item in items) or gap()) + "}"
    if isinstance(value, list):
        items = [spelt(item, random) for item in cast("list[Any]", value)]
        return "[" + (",".join(f"{gap()}{item}{gap()}" for item in items) or gap()) + "]"
    if isinstance(value, float):
        return random.choice(["1.50", "1e3", "-0.0", "12E-2", "9007199254740993"])
    return json.dumps(value, ensure_ascii=random.random() < 0.5)


def block(random: Random, pictures: list[str], depth: int = 0) -> Any:
    """A block of a message: a picture, what may hold some, or something that nobody here knows."""
    kind = random.choice(["image", "image", "text", "tool_result", "tool_use", "document", "url", "new", "bare"])
    text = random.choice(ODD_TEXTS)
    more = random.choice([{}, {"cache_control": {"type": "ephemeral"}}, {"x_new": 0.5, "data": text}])
    source: dict[str, Any] = {"type": "base64", "media_type": "application/pdf", "data": LONG}
    if kind == "image":
        data = random.choice(pictures)
        media_type = "image/png" if data.startswith("iVBOR") else "image/jpeg"
        return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": data}, **more}
    if kind == "tool_result" and depth < 3:
        inside = [block(random, pictures, depth + 1) for _ in range(random.randrange(4))]
        return {"type": kind, "tool_use_id": "t", "content": inside, **more}
    return {
        "tool_use": {"type": "tool_use", "id": "t", "name": "n", "input": {"data": text, "image": [0.5]}, **more},
        "document": {"type": "document", "source": source, **more},
        "url": {"type": "image", "source": {"url": "https://example.com/a.png", "type": "url", "x_new": 0.5}},
        "new": {"type": "x_new", "data": text, "source": {"data": LONG, "type": "base64"}},
        "bare": text,
    }.get(kind, {"type": "text", "text": text, **more})


def conversation(random: Random, pictures: list[str]) -> dict[str, Any]:
    turns = [
        {"role": random.choice(["user", "assistant"]), "content": [block(random, pictures) for _ in range(4)], "x": 0.5}
        for _ in range(random.randrange(1, 4))
    ]
    system = [{"type": "text", "text": random.choice(ODD_TEXTS), "data": LONG}]
    return {
        "model": MODEL,
        "max_tokens": 10,
        "system": system,
        "messages": turns,
        "x_new": {"data": LONG},
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=st.randoms(use_true_random=False))
def test_where_nothing_has_to_change_the_very_bytes_travel_on(
    recorded: httpx2.Client, wire: Any, pictures: list[str], random: Random
) -> None:
    body = spelt(conversation(random, pictures), random).encode()
    before = len(wire.bodies)

    answer = recorded.post("/v1/messages", content=body, headers=JSON_HEADERS)

    assert wire.bodies[before:] == [body], answer.text


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=st.randoms(use_true_random=False))
def test_where_one_picture_has_to_change_everything_around_it_does_not(
    recorded: httpx2.Client, wire: Any, pictures: list[str], photo: Maker, random: Random
) -> None:
    request = conversation(random, pictures)
    large = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(photo(2600, 40)).decode()}
    random.choice(request["messages"])["content"].insert(random.randrange(5), {"type": "image", "source": "LARGE"})
    before, after = spelt(request, random).split('"LARGE"')

    recorded.post("/v1/messages", content=f"{before}{spelt(large, random)}{after}", headers=JSON_HEADERS)

    sent = wire.bodies[-1].decode()
    assert (sent.startswith(before), sent.endswith(after)) == (True, True)
    source = json.loads(sent.removeprefix(before).removesuffix(after))
    assert (source["type"], source["media_type"], source["data"] == large["data"]) == ("base64", "image/jpeg", False)


def asked(blocks: str) -> bytes:
    turn = f'{{"role":"user","content":[{blocks}]}}'
    return f'{{"model":"{MODEL}","max_tokens":10,"messages":[{turn}]}}'.encode()


def test_a_member_that_is_there_twice_goes_on_once_as_it_was_understood(
    recorded: httpx2.Client, wire: Any, pictures: list[str]
) -> None:
    sources = [f'{{"type":"base64","media_type":"image/jpeg","data":"{data}"}}' for data in pictures[1:3]]
    twice = f'{{"type":"text","source":{sources[0]},"type":"image","source":{sources[1]}}}'

    recorded.post("/v1/messages", content=asked(twice), headers=JSON_HEADERS)

    assert wire.bodies == [asked(f'{{"type":"image","source":{sources[1]}}}')]


def test_a_name_with_an_escape_is_understood(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    data = base64.b64encode(photo(2600, 40)).decode()
    source = f'{{"type":"base64","media_type":"image/jpeg","d\\u0061ta":"{data}"}}'

    recorded.post("/v1/messages", content=asked(f'{{"type":"im\\u0061ge","source":{source}}}'), headers=JSON_HEADERS)

    [block] = wire.last_request["messages"][0]["content"]
    assert (block["type"], block["source"]["data"] == data) == ("image", False)


def test_escaped_slashes_in_base64_stay(recorded: httpx2.Client, wire: Any, pictures: list[str]) -> None:
    data = pictures[2].replace("/", "\\/")
    body = asked(f'{{"type":"image","source":{{"type":"base64","media_type":"image/jpeg","data":"{data}"}}}}')

    recorded.post("/v1/messages", content=body, headers=JSON_HEADERS)

    assert (b"\\/" in body, wire.bodies) == (True, [body])


def test_line_breaks_in_base64_go(recorded: httpx2.Client, wire: Any, pictures: list[str]) -> None:
    source = '{"type":"base64","media_type":"image/jpeg","data":"DATA"}'
    body = asked(f'{{"type":"image","source":{source}}}').decode()
    broken = "\\n".join(pictures[2][at : at + 76] for at in range(0, len(pictures[2]), 76))

    recorded.post("/v1/messages", content=body.replace("DATA", broken), headers=JSON_HEADERS)

    assert wire.bodies == [body.replace("DATA", pictures[2]).encode()]


@pytest.mark.parametrize("end", ['\n"', '\\x"', '" "b"', "", '"x', '\\"'])
def test_a_body_that_is_no_json_around_or_within_a_long_text_is_refused(
    recorded: httpx2.Client, wire: Any, end: str
) -> None:
    body = asked(f'{{"type":"x_new","data":"{LONG}{end}}}')

    answer = recorded.post("/v1/messages", content=body, headers=JSON_HEADERS)

    assert (answer.status_code, wire.bodies) == (400, [])
    assert answer.json()["error"]["details"]["error_code"] == "invalid_request"


def test_what_is_wrong_behind_a_long_text_is_named_by_its_place_in_the_body(recorded: httpx2.Client) -> None:
    body = asked(f'{{"type":"x_new","data":"{LONG}"}}') + b"x"

    answer = recorded.post("/v1/messages", content=body, headers=JSON_HEADERS)

    assert f"byte {len(body)}" in answer.json()["error"]["message"]


def test_a_picture_refused_by_the_vendor_is_prepared_from_the_body_that_came(
    recorded: httpx2.Client, wire: Any, photo: Maker
) -> None:
    data = base64.b64encode(photo(1500, 1000)).decode()
    body = asked(f'{{"type":"image","source":{{"type":"base64","media_type":"image/jpeg","data":"{data}"}}}}')
    headers = {**JSON_HEADERS, "x-vision-proxy-sandbox-fault": "dimensions=1000"}

    recorded.post("/v1/messages", content=body, headers=headers)

    assert wire.bodies[0] == body
    assert len(wire.bodies) == 2
    assert len(wire.bodies[1]) < len(body)
