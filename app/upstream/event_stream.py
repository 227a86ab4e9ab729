"""A streamed answer as it comes: chunks, server-sent events, or what these say."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeVar

import anyio
import httpx2
import msgspec

from app.domain import SANDBOX_HEADER
from app.errors import UpstreamError
from app.upstream.bounded import pieces_of
from app.upstream.calls import json_object_of
from app.upstream.failures import from_event, timed_out, unreachable
from app.upstream.message import JsonObject
from app.upstream.retry import ignored

MAX_EVENT_BYTES = 16_000_000
"""Of one server-sent event; ours, as the limit of whole answers."""

_MOST_LINES = 10_000
"""Of one event; the vendor's have two."""

_BLANK_LINE = re.compile(rb"\n\n|\r\n\r\n|\r\r")
_LONGEST_BLANK_LINE = 4

_Item = TypeVar("_Item")


class EventStream:
    """The events of one streamed answer; `error` events and cuts are raised."""

    def __init__(
        self,
        response: httpx2.Response,
        headers: Mapping[str, str],
        idle_timeout_s: float,
        failed: Callable[[int], None] = ignored,
    ) -> None:
        """`response` is open and unread; whoever opened it closes it. `failed` is told the status of a failure."""
        self._failed = failed
        self._response = response
        self._idle_timeout_s = idle_timeout_s
        self.headers = headers
        self.request_id = self.headers.get("request-id")
        self.sandbox = SANDBOX_HEADER in self.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the stream as they come.

        Raises:
            UpstreamError: a broken connection, or silence.
        """
        pieces = pieces_of(self._response, held=False)
        while (piece := await self._next(pieces)) is not None:
            yield piece

    async def events(self) -> AsyncIterator[bytes]:
        """The bytes of each event, the blank line at its end included.

        Raises:
            UpstreamError: as `chunks`, or an event that has no end.
        """
        pending, searched = bytearray(), 0
        async for chunk in self.chunks():
            pending += chunk
            while end := _BLANK_LINE.search(pending, searched):
                event, searched = bytes(pending[: end.end()]), 0
                del pending[: end.end()]
                if max(event.count(b"\n"), event.count(b"\r")) > _MOST_LINES:
                    raise self._told(unreachable(f"an event of the Claude API is over {_MOST_LINES} lines, the limit"))
                yield event
            if len(pending) > MAX_EVENT_BYTES:
                raise self._told(unreachable(f"an event of the Claude API is over {MAX_EVENT_BYTES} bytes, the limit"))
            searched = max(len(pending) - _LONGEST_BLANK_LINE, 0)

    async def __aiter__(self) -> AsyncIterator[JsonObject]:
        """Every event but pings, decoded.

        Raises:
            UpstreamError: as `events`, the vendor's `error` event, or something that is no event.
        """
        async for event in self.events():
            data = _data_of(event)
            if not data:
                continue  # a comment
            payload = json_object_of(data, self.request_id)
            if payload.get("type") == "error":
                raise self._told(from_event(payload, self.request_id))
            if payload.get("type") != "ping":
                yield payload

    async def _next(self, items: AsyncIterator[_Item]) -> _Item | None:
        """The next item within the time that silence may last; None at the end."""
        try:
            with anyio.fail_after(self._idle_timeout_s):
                return await anext(items, None)
        except TimeoutError as error:
            message = f"the stream of the Claude API was silent for {self._idle_timeout_s:g} s"
            raise self._told(timed_out(message)) from error
        except httpx2.HTTPError as error:
            raise self._told(unreachable("the stream of the Claude API was cut")) from error

    def _told(self, error: UpstreamError) -> UpstreamError:
        self._failed(error.status)
        return error


def event_name(event: bytes) -> str:
    """The name of a server-sent event, empty where it has none."""
    for line in event.splitlines():
        if line.startswith(b"event:"):
            return line[6:].strip().decode("utf-8", "replace")
    return ""


def event_data(event: bytes) -> bytes | None:
    """The JSON of a server-sent event; None where it holds no object."""
    data = _data_of(event)
    try:
        msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return data


def _data_of(event: bytes) -> bytes:
    return b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
