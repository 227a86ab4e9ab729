"""JSON of strangers that holds so much that taking it apart in one go would hold up everybody else.

The decoder lets no other thread run before it is done, and a thread that runs keeps the event loop waiting: a million
members take it 400 ms. So what is crowded is taken apart with a stop at every member, and refused where it is absurd.
"""

from collections.abc import Iterator
from typing import TypeAlias, TypeVar, cast

import msgspec

from app.errors import AppError, ErrorCode

JsonObject: TypeAlias = dict[str, msgspec.Raw]
"""A JSON object whose values are still bytes."""

_Kind = TypeVar("_Kind")

MOST_ITEMS = 100_000
"""Of an array: as many as the vendor takes messages, or requests of a batch."""

_MOST_MEMBERS: dict[object, int] = {JsonObject: 10_000, list[JsonObject]: 500_000}
_MOST_VALUES = 1_000_000
"""Where all of them become objects of Python's: a twentieth of a second, and some dozens of megabytes."""

_ROOMY_BYTES = 65_536
_CROWD = 5_000
_PIECE_BYTES = 1_048_576


class _Name(str):
    """The name of a member, made by a function of Python's, where another thread may take over."""

    __slots__ = ()


class _Item:
    """Anything in an array."""


class _TooManyError(Exception):
    pass


def decode_crowded(raw: bytes | memoryview | msgspec.Raw, kind: type[_Kind]) -> _Kind:
    """The JSON as a value of that kind, as `msgspec.json.decode` gives it.

    Raises:
        AppError: `invalid_request` where it has more members, items or values than anybody can mean.
        msgspec.DecodeError: as the decoder.
    """
    if len(memoryview(raw)) > _ROOMY_BYTES:
        most = _MOST_MEMBERS.get(kind)
        if most is not None and _more_than(raw, b":", _CROWD):
            return cast("_Kind", _by_members(raw, kind, most))
        if kind is object:
            _refuse_many_values(raw)
        elif kind == list[msgspec.Raw]:
            _refuse_many_items(raw)
    return msgspec.json.decode(raw, type=kind)


def refuse_many(raw: bytes | memoryview | msgspec.Raw, mark: bytes, most: int, what: str) -> None:
    """Nothing, where those marks stand in it at most so many times, so that it cannot hold more of what they begin.

    Raises:
        AppError: `invalid_request`.
    """
    if _more_than(raw, mark, most):
        raise _too_many(what, most)


def _by_members(raw: bytes | memoryview | msgspec.Raw, kind: object, most: int) -> object:
    seen = 0

    def named(to: type[_Name], name: str) -> _Name:
        nonlocal seen
        seen += 1
        if seen > most:
            raise _TooManyError
        return to(name)

    try:
        if kind == JsonObject:
            return _plain(msgspec.json.decode(raw, type=dict[_Name, msgspec.Raw], dec_hook=named))
        decoded = msgspec.json.decode(raw, type=list[dict[_Name, msgspec.Raw]], dec_hook=named)
        return [_plain(members) for members in decoded]
    except _TooManyError:
        raise _too_many("members", most) from None


def _plain(members: dict[_Name, msgspec.Raw]) -> JsonObject:
    return {str(name): value for name, value in members.items()}


def _refuse_many_values(raw: bytes | memoryview | msgspec.Raw) -> None:
    seen = 0
    if bytes(memoryview(raw)[:1]) in {b"[", b"{"}:
        for piece in _pieces(raw):
            seen += piece.count(b",") + piece.count(b"[") + piece.count(b"{")
            if seen > _MOST_VALUES:
                raise _too_many("values", _MOST_VALUES)


def _refuse_many_items(raw: bytes | memoryview | msgspec.Raw) -> None:
    if not _more_than(raw, b",", MOST_ITEMS):
        return
    seen = 0

    def counted(to: type[_Item], item: object) -> _Item:
        del item
        nonlocal seen
        seen += 1
        if seen > MOST_ITEMS:
            raise _TooManyError
        return to()

    try:
        msgspec.json.decode(raw, type=list[_Item], dec_hook=counted)
    except _TooManyError:
        raise _too_many("items", MOST_ITEMS) from None


def _more_than(raw: bytes | memoryview | msgspec.Raw, mark: bytes, most: int) -> bool:
    """Whether the mark stands there more often; looked for, not counted: long texts are base64, and hold none."""
    seen = 0
    for piece in _pieces(raw):
        at = piece.find(mark)
        while at >= 0:
            seen += 1
            if seen > most:
                return True
            at = piece.find(mark, at + 1)
    return False


def _pieces(raw: bytes | memoryview | msgspec.Raw) -> Iterator[bytes]:
    text = memoryview(raw)
    for start in range(0, len(text), _PIECE_BYTES):
        yield bytes(text[start : start + _PIECE_BYTES])


def _too_many(what: str, most: int) -> AppError:
    return AppError(ErrorCode.INVALID_REQUEST, f"the JSON has more than {most} {what}", limit=most)
