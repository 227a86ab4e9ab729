"""Recorded bodies of every kind: what reaches the vendor means, and where nothing had to change is, what was sent."""

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.sdk.recordings import meaning, read_bodies

Maker = Callable[..., bytes]

PLAIN = read_bodies("plain.jsonl")
WITH_PICTURES = read_bodies("pictures.jsonl")

JSON = {"content-type": "application/json"}


def relayed(service: httpx2.Client, wire: Any, body: str, path: str) -> list[bytes]:
    """What reached the vendor on behalf of that body; it may like it or not."""
    before = len(wire.bodies)
    service.post(path, content=body.encode(), headers=JSON)
    return wire.bodies[before:]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_body_without_pictures_arrives_byte_for_byte(recorded: httpx2.Client, wire: Any, path: str) -> None:
    arrived = {name: relayed(recorded, wire, body, path) for name, body in PLAIN.items()}

    assert arrived == {name: [body.encode()] for name, body in PLAIN.items()}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_body_with_pictures_means_the_same_but_for_their_sources(
    recorded: httpx2.Client, wire: Any, photo: Maker, path: str
) -> None:
    jpeg = base64.b64encode(photo(2600, 100)).decode()
    bodies = {name: body.replace("<jpeg>", jpeg) for name, body in WITH_PICTURES.items()}

    arrived = {name: relayed(recorded, wire, body, path) for name, body in bodies.items()}

    assert {name: [meaning(sent) for sent in sents] for name, sents in arrived.items()} == {
        name: [meaning(body)] for name, body in bodies.items()
    }
    assert not [name for name, sents in arrived.items() if jpeg.encode() in b"".join(sents)]


@pytest.mark.parametrize(
    "block",
    [
        '{"type":"x_gallery","content":[%s,"text",null,7]}',
        '{"type":["image"],"x":1},%s',
    ],
)
def test_what_is_no_block_passes_beside_a_picture(recorded: httpx2.Client, wire: Any, photo: Maker, block: str) -> None:
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(photo(64, 48)).decode()}
    content = block % json.dumps({"type": "image", "source": source})
    body = f'{{"model":"claude-sonnet-5-5","max_tokens":16,"messages":[{{"role":"user","content":[{content}]}}]}}'

    assert [meaning(sent) for sent in relayed(recorded, wire, body, "/v1/messages")] == [meaning(body)]
