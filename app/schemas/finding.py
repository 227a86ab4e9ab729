"""The JSON in an answer: bare, in a fence of Markdown, or with prose around it."""

import json
import re
from collections.abc import Iterator

from app.domain import Json
from app.schemas.checking import no_constant

_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[\[{]")

_decoder = json.JSONDecoder(parse_constant=no_constant)


def candidates(text: str) -> Iterator[Json]:
    """Every JSON value that the text may have meant, the likeliest first."""
    yield from _whole(text)
    for fenced in _FENCE.findall(text):
        yield from _whole(fenced)
    yield from _within(text)


def _whole(text: str) -> Iterator[Json]:
    try:
        yield json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return


def _within(text: str) -> Iterator[Json]:
    """Objects and arrays that stand in prose, the outermost of each."""
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        try:
            value, position = _decoder.raw_decode(text, opening.start())
            yield value
        except (ValueError, RecursionError):
            position = opening.end()
