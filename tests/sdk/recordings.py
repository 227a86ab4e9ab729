"""Recorded request bodies: reading them, filling in their pictures, and what two bodies have to share."""

import base64
import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from PIL import Image, ImageDraw

BODIES = Path(__file__).parent / "bodies"

PICTURE_CHARS = 1_000
"""Base64 from this length on is a picture made for the test; whatever only looks like one is shorter."""


def read_bodies(name: str) -> dict[str, str]:
    """The bodies of a file, by name, each spelt as it was recorded."""
    lines = (BODIES / name).read_text("utf-8").splitlines()
    return {row["name"]: row["body"] for row in map(json.loads, lines)}


def read_agent() -> dict[str, Any]:
    """The recording of an agent at work."""
    return json.loads((BODIES / "agent.json").read_text("utf-8"))


def requests_of(agent: dict[str, Any], make_screen: Callable[[int, int, int], bytes]) -> Iterator[dict[str, Any]]:
    """The request of every turn, each with all turns before it; `make_screen` gives the PNG of a number and a size."""
    messages: list[Any] = []
    for turn in agent["turns"]:
        messages.append({"role": "user", "content": _with_pictures(turn["user"], make_screen)})
        yield {**agent["request"], "messages": [*messages]}
        messages.append({"role": "assistant", "content": turn["assistant"]})


def draw_screen(number: int, width_px: int, height_px: int) -> bytes:
    """The PNG of a screen like no other number's: as many lines, and a word."""
    picture = Image.new("RGB", (width_px, height_px), "#f4f4f8")
    draw = ImageDraw.Draw(picture)
    draw.text((4, 4), f"Screen {number}", fill="#223355")
    for line in range(number):
        draw.rectangle((4, 20 + line * 60, width_px - 4, 44 + line * 60), fill="white", outline="#888")
    file = BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def meaning(body: bytes | str) -> object:
    """What the JSON says: keys in order, the last of equal ones counting, numbers as spelt, pictures left out."""
    return json.loads(body, object_pairs_hook=_ordered, parse_float=_spelt, parse_int=_spelt)


def _ordered(pairs: list[tuple[str, Any]]) -> object:
    members = dict(pairs)
    data = members.get("data")
    return "a picture" if isinstance(data, str) and len(data) > PICTURE_CHARS else tuple(members.items())


def _spelt(number: str) -> str:
    return f"#{number}"


def _with_pictures(value: Any, make_screen: Callable[[int, int, int], bytes]) -> Any:
    """The same JSON, each source of a `screenshot` being one."""
    if isinstance(value, list):
        return [_with_pictures(item, make_screen) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    members = cast("dict[str, Any]", value)
    if "screenshot" in members:
        picture = make_screen(members["screenshot"], members["width_px"], members["height_px"])
        return {"type": "base64", "media_type": "image/png", "data": base64.b64encode(picture).decode()}
    return {name: _with_pictures(item, make_screen) for name, item in members.items()}
