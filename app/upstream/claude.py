"""Calls to the Claude API with prebuilt bodies: 1.5 ms for 10 MB where `messages.create` asks 30 (docs/decisions)."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self, TypeVar, cast

import anyio
import httpx2
import msgspec
from anthropic import AsyncAnthropic, AsyncStream
from anthropic._types import RequestOptions

from app.domain import SANDBOX_HEADER, Json
from app.upstream.failures import from_event, timed_out, unreachable, unreadable
from app.upstream.message import JsonObject
from app.upstream.retry import RetryPolicy

RAW_RESPONSE = "X-Stainless-Raw-Response"
"""Tells the SDK to hand over the response unread. Source: `_constants.py` of anthropic 2.12.0."""

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"

_Item = TypeVar("_Item")

_CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer of the API, as it came; header names in lower case."""

    content: bytes
    headers: Mapping[str, str]

    @property
    def request_id(self) -> str | None:
        """The vendor's id of the request."""
        return self.headers.get("request-id")

    @property
    def sandbox(self) -> bool:
        """Whether the sandbox answered."""
        return SANDBOX_HEADER in self.headers

    def json_object(self) -> JsonObject:
        """The content, decoded.

        Raises:
            UpstreamError: it is no JSON object.
        """
        return _json_object(self.content, self.request_id)


class EventStream:
    """The events of one streamed answer; `error` events and cuts are raised."""

    def __init__(self, response: httpx2.Response, idle_timeout_s: float) -> None:
        """`response` is open and unread; whoever opened it closes it."""
        self._response = response
        self._idle_timeout_s = idle_timeout_s
        self.headers: Mapping[str, str] = dict(response.headers.items())
        self.request_id = self.headers.get("request-id")
        self.sandbox = SANDBOX_HEADER in self.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the stream as they come.

        Raises:
            UpstreamError: a broken connection, or silence.
        """
        pieces = self._response.aiter_bytes()
        while (piece := await self._next(pieces)) is not None:
            yield piece

    async def __aiter__(self) -> AsyncIterator[JsonObject]:
        """Every event but pings.

        Raises:
            UpstreamError: the vendor's `error` event, a broken connection, silence, or something that is no event.
        """
        events = AsyncStream.raw_events(self._response)
        while (event := await self._next(events)) is not None:
            payload = _json_object(event.data.encode(), self.request_id)
            if payload.get("type") == "error":
                raise from_event(payload, self.request_id)
            if payload.get("type") != "ping":
                yield payload

    async def _next(self, items: AsyncIterator[_Item]) -> _Item | None:
        """The next item within the time that silence may last; None at the end."""
        try:
            with anyio.fail_after(self._idle_timeout_s):
                return await anext(items, None)
        except TimeoutError as error:
            message = f"the stream of the Claude API was silent for {self._idle_timeout_s:g} s"
            raise timed_out(message) from error
        except httpx2.HTTPError as error:
            raise unreachable("the stream of the Claude API was cut") from error


class ClaudeUpstream:
    """The Messages endpoints, through the SDK's client for its authentication, transport and typed errors."""

    def __init__(self, client: AsyncAnthropic, retries: RetryPolicy, idle_timeout_s: float) -> None:
        """`client` must not retry by itself."""
        self._client = client
        self._retries = retries
        self._idle_timeout_s = idle_timeout_s
        self._timeout = httpx2.Timeout(retries.timeout_s, connect=_CONNECT_TIMEOUT_S)

    @classmethod
    def connect(
        cls,
        *,
        api_key: str | None,
        auth_token: str | None,
        base_url: str | None,
        retries: RetryPolicy,
        idle_timeout_s: float,
    ) -> Self:
        """A client with its own connection pool; `close` ends it."""
        client = AsyncAnthropic(
            api_key=api_key,
            auth_token=auth_token,
            base_url=base_url,
            max_retries=0,
            timeout=httpx2.Timeout(retries.timeout_s, connect=_CONNECT_TIMEOUT_S),
            open_telemetry=False,
        )
        return cls(client, retries, idle_timeout_s)

    async def create(self, body: bytes, headers: Mapping[str, str], query: str = "") -> Reply:
        """The answer to a Messages request.

        Raises:
            UpstreamError: whatever kept it from coming, retries included.
        """
        return await self._retries.run(lambda: self._call(_with_query(MESSAGES, query), body, headers))

    async def count_tokens(self, body: bytes, headers: Mapping[str, str], query: str = "") -> Reply:
        """The vendor's own count for a request; free. Raises as `create`."""
        return await self._retries.run(lambda: self._call(_with_query(COUNT_TOKENS, query), body, headers))

    @asynccontextmanager
    async def stream(self, body: bytes, headers: Mapping[str, str], query: str = "") -> AsyncGenerator[EventStream]:
        """The answer to a Messages request whose body says `"stream": true`; closed, read to its end or not, on exit.

        Raises:
            UpstreamError: what kept it from beginning, retries included.
        """
        response = await self._retries.run(lambda: self._open(_with_query(MESSAGES, query), body, headers))
        try:
            yield EventStream(response, self._idle_timeout_s)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def get(self, path: str, headers: Mapping[str, str], query: str = "") -> Reply:
        """What the API has at that path. Raises as `create`."""
        return await self._retries.run(lambda: self._get(_with_query(path, query), headers))

    async def close(self) -> None:
        """Give back every connection."""
        await self._client.close()

    async def _call(self, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        return await self._read(await self._open(path, body, headers))

    async def _get(self, path: str, headers: Mapping[str, str]) -> Reply:
        options: RequestOptions = {
            "headers": {**headers, RAW_RESPONSE: "stream"},
            "timeout": self._timeout,
        }
        return await self._read(await self._client.get(path, cast_to=httpx2.Response, options=options))

    async def _read(self, response: httpx2.Response) -> Reply:
        try:
            content = await response.aread()
        except httpx2.HTTPError as error:
            raise unreachable("the answer of the Claude API was cut") from error
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
        return Reply(content, dict(response.headers.items()))

    async def _open(self, path: str, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        """The response, its body unread."""
        return await self._client.post(
            path,
            content=body,
            cast_to=httpx2.Response,
            options={
                "headers": {**headers, "content-type": "application/json", RAW_RESPONSE: "stream"},
                "timeout": self._timeout,
            },
        )


def _with_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def _json_object(content: bytes, request_id: str | None) -> JsonObject:
    try:
        decoded = cast("Json", msgspec.json.decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unreadable(request_id) from error
    if not isinstance(decoded, dict):
        raise unreadable(request_id)
    return decoded
