"""The bytes of a request in the order of the wire, those that came in among them not copied."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

_STEP_BYTES = 262_144
"""What is a part of something larger is copied on its way to the socket: so much at a time."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """`parts` one behind the other."""

    parts: tuple[bytes | memoryview, ...]

    @property
    def size_bytes(self) -> int:
        """Of all together."""
        return sum(map(len, self.parts))

    @property
    def held_bytes(self) -> int:
        """What they take: a part of something keeps all of that."""
        owned = {id(part): len(part) for part in self.parts if isinstance(part, bytes)}
        wholes = {id(part.obj): len(memoryview(part.obj)) for part in self.parts if isinstance(part, memoryview)}
        return sum((owned | wholes).values())

    def joined(self) -> bytes:
        """All together; the very object where there is one."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], bytes) else b"".join(self.parts)


class Sending:
    """Pieces on their way, to be let go of once the answer begins: the transport keeps what it has sent."""

    def __init__(self, pieces: Pieces) -> None:
        """None of them has been sent."""
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Each piece, those that are parts of something larger step by step."""
        for part in self._pieces.parts:
            if isinstance(part, bytes):
                yield part
                continue
            for begin in range(0, len(part), _STEP_BYTES):
                yield bytes(part[begin : begin + _STEP_BYTES])

    def let_go(self) -> None:
        """Forget what was sent."""
        self._pieces = Pieces(())
