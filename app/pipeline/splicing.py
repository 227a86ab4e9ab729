"""A body that was taken apart, as the bytes that came: only what stands in slots may change."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec

from app.pipeline.cutting import Cut
from app.pipeline.message_body import MessageBody, Segment, Slot, Span

_HOLE = f'"{secrets.token_hex(16)}"'.encode()


def as_it_came(cut: Cut) -> MessageBody:
    """A body without a slot."""
    return MessageBody(tuple(cut.body_spans(0, len(cut.text))), cut.body)


def spliced(segments: Sequence[Segment], sources: Sequence[bytes], cut: Cut) -> MessageBody | None:
    """The body with its slots where `sources` stand in it.

    None where, spaces aside, that is not what `segments` spell: a member is there twice, a name has an escape.
    """
    holes = [segment for segment in segments if not isinstance(segment, (bytes, Span))]
    places = list(_places(sources, cut.text))
    if len(places) != len(holes):
        return None
    bounds = [0, *(bound for place in places for bound in place[:2]), len(cut.text)]
    between = list(zip(bounds[::2], bounds[1::2], strict=True))
    came = _HOLE.join(cut.text[begin:end] for begin, end in between)
    understood = b"".join(segment if isinstance(segment, bytes) else _HOLE for segment in segments)
    if came != understood and _compact(came) != _compact(understood):
        return None
    spans: list[Segment] = [*cut.body_spans(*between[0])]
    for hole, place, (begin, end) in zip(holes, places, between[1:], strict=True):
        source = Span(cut.original(place.begin), cut.original(place.end))
        spans.append(replace(hole, came=source) if isinstance(hole, Slot) and hole.came is not None else hole)
        spans += cut.body_spans(begin, end)
    return MessageBody(tuple(spans), cut.body)


def _places(sources: Sequence[bytes], text: bytes) -> Iterator[Span]:
    """Where each stands, one behind the other, as far as they are found; wrong ones `spliced` finds out."""
    at = 0
    for source in sources:
        begin = text.find(source, at)
        if begin < 0:
            return
        at = begin + len(source)
        yield Span(begin, at)


def _compact(text: bytes) -> bytes:
    return msgspec.json.format(text, indent=-1)
