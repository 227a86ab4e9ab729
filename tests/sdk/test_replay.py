"""A long conversation of an agent, replayed as its client sends it: it grows past 20 screenshots and goes on."""

import json
from typing import Any

import httpx2
import msgspec

from tests.sdk.recordings import draw_screen, meaning, read_agent, requests_of

MANY_IMAGES = 20


def pictures_in(request: dict[str, Any]) -> int:
    return json.dumps(request).count('"type": "image"')


def sent_messages(body: bytes) -> list[bytes]:
    """Each message of a body, as spelt."""
    request = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return [bytes(message) for message in msgspec.json.decode(request["messages"], type=list[msgspec.Raw])]


def usage_of(stream: str) -> dict[str, Any]:
    """The usage of the last `message_delta`; a stream that did not end as it should has none."""
    assert stream.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n'), stream
    [delta] = [event for event in stream.split("\n\n") if event.startswith("event: message_delta")]
    return json.loads(delta.partition("data: ")[2])["usage"]


def test_every_turn_is_accepted_and_repeats_to_the_byte_what_the_turns_before_it_sent(
    recorded: httpx2.Client, wire: Any, sandbox: httpx2.Client
) -> None:
    """In one test, for its price: 84 screenshots. The cache of prompts is read as far as it was written."""
    agent = read_agent()
    screens: dict[int, bytes] = {}

    def make_screen(number: int, width_px: int, height_px: int) -> bytes:
        return screens.setdefault(number, draw_screen(number, width_px, height_px))

    requests = list(requests_of(agent, make_screen))
    headers = agent["headers"]
    usages = [usage_of(recorded.post("/v1/messages", json=request, headers=headers).text) for request in requests]
    direct = [sandbox.post("/v1/messages", json=request, headers=headers).status_code for request in requests[-3:]]

    assert [pictures_in(request) for request in requests[-3:]] == [12, MANY_IMAGES + 1, MANY_IMAGES + 2]
    assert direct == [200, 400, 400]
    growing = [sent_messages(body) for body in wire.bodies]
    assert [messages == growing[-1][: len(messages)] for messages in growing] == [True] * len(requests)
    written = [usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"] for usage in usages]
    assert [usage["cache_read_input_tokens"] for usage in usages] == [0, *written[:-1]]


def test_all_but_the_pictures_reaches_the_vendor_as_the_agent_sent_it(recorded: httpx2.Client, wire: Any) -> None:
    """Thinking with its signatures, blocks that nobody knows, numbers as spelt: of every turn, with small pictures."""
    agent = read_agent()
    requests = list(
        requests_of(agent, lambda number, width_px, height_px: draw_screen(number, width_px // 40, height_px // 40))
    )

    for request in requests:
        recorded.post("/v1/messages", json=request, headers=agent["headers"])

    assert [meaning(body) for body in wire.bodies] == [meaning(json.dumps(request)) for request in requests]


def test_the_agent_s_headers_reach_the_vendor(service: httpx2.Client, sandbox: httpx2.Client, case: str) -> None:
    agent = read_agent()
    headers = agent["headers"]
    request = next(requests_of(agent, draw_screen))

    service.post("/v1/messages", json=request, headers={**headers, "x-vision-proxy-sandbox-case": case})

    journal = sandbox.get("/sandbox/journal").json()
    [visit] = [visit for visit in journal if visit["headers"].get("x-vision-proxy-sandbox-case") == case]
    assert {name: visit["headers"][name] for name in headers} == headers
