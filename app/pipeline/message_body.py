"""A Messages request as bytes with holes where its pictures stand: the one currency of the pipeline.

Everything but the `source` of an image block is kept as the bytes that came in, so that unknown fields, the order of
keys and the spelling of numbers survive, and so that what nobody changed is sent on without being copied.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import msgspec

from app.upstream.pieces import Pieces

_SHORT_BYTES = 65_536


class Span(NamedTuple):
    """A part of the body that came in. In one that is `opaque` nobody looks for words: a long value of base64."""

    begin: int
    end: int
    opaque: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of the source object of picture number `index`, counted from 0.

    `came` is what stood there, None where that may not travel as it came.
    """

    index: int
    came: bytes | Span | None = None


@dataclass(frozen=True, slots=True)
class FileSlot:
    """The place of a file known by an id of ours: of its source object, or of the bare id where `bare`.

    `number` is the picture's place in the request, counted from 1; None for a file that is no picture.
    """

    file_id: str
    number: int | None = None
    bare: bool = False


Segment: TypeAlias = bytes | Span | Slot | FileSlot


@dataclass(frozen=True, slots=True)
class MessageBody:
    """Bytes and slots in the order of the wire; spans are parts of `original`."""

    segments: tuple[Segment, ...]
    original: bytes = b""

    @property
    def text_bytes(self) -> int:
        """The size of everything but the pictures."""
        return sum(_size(segment) for segment in self.segments)

    def mentions(self, word: bytes) -> bool:
        """Whether that stands anywhere outside of the pictures."""
        return any(self._holds(segment, word) for segment in self.segments)

    def _holds(self, segment: Segment, word: bytes) -> bool:
        if isinstance(segment, Span):
            return not segment.opaque and self.original.find(word, segment.begin, segment.end) >= 0
        return isinstance(segment, bytes) and word in segment

    @property
    def came(self) -> frozenset[int]:
        """The pictures whose sources may travel as they came, by their index."""
        return frozenset(part.index for part in self.segments if isinstance(part, Slot) and part.came is not None)

    def fill(self, sources: Sequence[bytes | None]) -> Pieces:
        """The request, with the JSON of each picture's source in its slot; None is as it came."""
        parts: list[bytes | Span] = []
        for segment in self.segments:
            part = (sources[segment.index] or segment.came) if isinstance(segment, Slot) else segment
            last = parts[-1] if parts else None
            if isinstance(part, Span) and isinstance(last, Span) and last.end == part.begin:
                parts[-1] = Span(last.begin, part.end)
            elif isinstance(part, (bytes, Span)):
                parts.append(part)
        return Pieces(tuple(self._pieces(parts)))

    def _pieces(self, parts: Sequence[bytes | Span]) -> Iterator[bytes | memoryview]:
        """The parts, so that there are few: what is short is put together."""
        short: list[bytes | memoryview] = []
        for part in parts:
            piece = self._piece(part)
            if len(piece) < _SHORT_BYTES:
                short.append(piece)
                continue
            if short:
                yield b"".join(short)
                short.clear()
            yield piece
        if short:
            yield b"".join(short)

    def _piece(self, part: bytes | Span) -> bytes | memoryview:
        if not isinstance(part, Span):
            return part
        if part.end - part.begin == len(self.original):
            return self.original
        return memoryview(self.original)[part.begin : part.end]

    @property
    def files(self) -> list[FileSlot]:
        """The places of files."""
        return [part for part in self.segments if isinstance(part, FileSlot)]

    def with_files(self, vendor_ids: Mapping[str, str]) -> "MessageBody":
        """The same body, each file named by the vendor's id."""
        if not self.files:
            return self
        return MessageBody(tuple(_named(part, vendor_ids) for part in self.segments), self.original)


def _size(segment: Segment) -> int:
    if isinstance(segment, Span):
        return segment.end - segment.begin
    return len(segment) if isinstance(segment, bytes) else 0


def _named(part: Segment, vendor_ids: Mapping[str, str]) -> Segment:
    if not isinstance(part, FileSlot):
        return part
    vendor_id = msgspec.json.encode(vendor_ids[part.file_id])
    return vendor_id if part.bare else b'{"type":"file","file_id":' + vendor_id + b"}"
