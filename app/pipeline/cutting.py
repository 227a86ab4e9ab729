"""JSON with its long `data` texts cut out: megabytes of base64 need no parser to find their end.

A text ends at the first quotation mark that no backslash precedes, and in JSON nothing but a text can begin behind
`"data":"`. So what is left is valid where the whole is, and is read in no time.
"""

import re
import secrets
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from app.pipeline.json_text import decode_json
from app.pipeline.message_body import Span

_DATA = re.compile(rb'"data"[ \t\r\n]*:[ \t\r\n]*"')
_LEAST_BYTES = 4_096
_MOST_LOOKS = 10_000
"""Texts by the name of `data`; what comes behind so many stays where it is."""

_MARK = secrets.token_hex(16)
"""What stands in their places; nobody outside of this process can write it."""


@dataclass(frozen=True, slots=True)
class Cut:
    """`text` is `body` less the texts at `spans`, each replaced by a mark of its own; `places` are where in `text`."""

    body: bytes
    text: bytes
    spans: tuple[Span, ...] = ()
    places: tuple[Span, ...] = ()
    taken: set[int] = field(default_factory=set[int])

    def take(self, text: str) -> memoryview | None:
        """What was cut out where this mark stands; None where it is none."""
        if not self.spans or not text.startswith(_MARK):
            return None
        number = int(text.removeprefix(_MARK))
        self.taken.add(number)
        return memoryview(self.body)[self.spans[number].begin : self.spans[number].end]

    def decoded(self, payload: memoryview) -> str:
        """A text that was cut out, its escapes undone. Raises as `decode_json`."""
        return decode_json(b"".join((b'"', payload, b'"')), str, "data must be a text")

    def check_others(self) -> None:
        """Nothing, where all that nobody took is valid JSON.

        Raises:
            AppError: `invalid_request`.
        """
        for number, span in enumerate(self.spans):
            if number not in self.taken:
                text = memoryview(self.body)[span.begin - 1 : span.end + 1]
                decode_json(text, msgspec.Raw, "the body must be JSON")

    def original(self, at: int) -> int:
        """Where in the body that place of `text` is, which is not inside of a mark."""
        before = bisect(self.places, at, key=_end)
        return at if not before else at - self.places[before - 1].end + self.spans[before - 1].end

    def body_spans(self, begin: int, end: int) -> Iterator[Span]:
        """The parts of the body that a part of `text` stands for; marks are wholly in it or outside."""
        first, last = bisect(self.places, begin, key=_end), bisect(self.places, end, key=_end)
        at = self.original(begin)
        for span in self.spans[first:last]:
            yield Span(at, span.begin)
            yield Span(span.begin, span.end, opaque=True)
            at = span.end
        yield Span(at, self.original(end))


def uncut(body: bytes) -> Cut:
    """The body with nothing cut out."""
    return Cut(body, body)


WHOLE = uncut(b"")
"""No body at all."""


def cut(body: bytes) -> Cut:
    """The body with its long texts by the name of `data` cut out."""
    spans = tuple(_spans(body))
    return Cut(body, *_without(body, spans)) if spans else uncut(body)


def _spans(body: bytes) -> Iterator[Span]:
    at = 0
    for _ in range(_MOST_LOOKS):
        found = _DATA.search(body, at)
        if found is None:
            return
        at, end = found.end(), body.find(b'"', found.end())
        if end - at >= _LEAST_BYTES and body[end - 1] != ord("\\"):
            yield Span(at, end)
            at = end


def _without(body: bytes, spans: Sequence[Span]) -> tuple[bytes, tuple[Span, ...], tuple[Span, ...]]:
    text, places, at = bytearray(), list[Span](), 0
    for number, span in enumerate(spans):
        text += memoryview(body)[at : span.begin]
        begin = len(text)
        text += f"{_MARK}{number}".encode()
        places.append(Span(begin, len(text)))
        at = span.end
    text += memoryview(body)[at:]
    return bytes(text), tuple(spans), tuple(places)


def _end(place: Span) -> int:
    return place.end
