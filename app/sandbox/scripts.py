"""Answers on request: the header `x-vision-proxy-sandbox-answer` says how a model answers badly, or what.

    answer  = item *( ";" item )
    item    = fenced (in a fence of Markdown) | prose (with a sentence before and after it) | wrong-type (every number
              a text, every text a number; only JSON) | no-json | truncated (cut in half, by max_tokens) | refusal |
              text=PERCENT-ENCODED (exactly that) | times=N (only the first N requests of the same case)

The case is the value of the header `x-vision-proxy-sandbox-case`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.requests import Request

from app.domain import Json
from app.sandbox.errors import invalid
from app.sandbox.faults import CaseCounter

ANSWER_HEADER = "x-vision-proxy-sandbox-answer"

KINDS = ("fenced", "prose", "wrong-type", "no-json", "truncated", "refusal")


@dataclass(frozen=True, slots=True)
class Script:
    """How an answer is spoilt: one of `KINDS`, or replaced by `text`; by default not at all."""

    kind: str | None = None
    text: str | None = None
    times: int | None = None


def script_for(request: Request, counter: CaseCounter) -> Script:
    """The script that this request asks for and is still to meet. Raises as `CaseCounter.due`."""
    return counter.due(request, ANSWER_HEADER, parse_script, Script())


def parse_script(header: str) -> Script:
    """The script that a header value names.

    Raises:
        SandboxError: 400 with every known script, it names something else.
    """
    kind: str | None = None
    text: str | None = None
    times: int | None = None
    for item in (item.strip() for item in header.split(";")):
        name, _, value = (piece.strip() for piece in item.partition("="))
        if item in KINDS:
            kind = item
        elif name == "text":
            text = unquote(value)
        elif name == "times" and value.isdecimal():
            times = int(value)
        else:
            raise invalid(f"{ANSWER_HEADER}: '{item}' is not understood; known are {', '.join(KINDS)}, text=, times=N")
    return Script(kind, text, times)


def spoilt(text: str, script: Script) -> str:
    """The text as the script has it."""
    if script.text is not None:
        return script.text
    return _SPOILING[script.kind](text) if script.kind else text


def _wrong_typed(text: str) -> str:
    """The JSON with its types changed over; what is no JSON stays."""
    try:
        return json.dumps(_changed_over(json.loads(text)))
    except ValueError:
        return text


def _changed_over(value: Json) -> Json:
    """The value with texts for numbers, and numbers for texts."""
    if isinstance(value, dict):
        return {name: _changed_over(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_changed_over(inner) for inner in value]
    if isinstance(value, str):
        return 7
    return "seven" if isinstance(value, int | float) and not isinstance(value, bool) else value


_SPOILING: dict[str, Callable[[str], str]] = {
    "fenced": "```json\n{}\n```".format,
    "prose": "This is what I found [see below]:\n{}\nIs there anything else?".format,
    "wrong-type": _wrong_typed,
    "no-json": lambda _: "I am sorry, I cannot read this picture.",
    "truncated": lambda text: text[: len(text) // 2],
    "refusal": lambda _: "",
}
