"""Calls to the Claude API with prebuilt bodies: 1.5 ms for 10 MB where `messages.create` asks 30 (docs/decisions)."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, TypeVar, cast

import anyio
import httpx2
import msgspec
from anyio import to_thread

from app.domain import SANDBOX_HEADER, Json
from app.errors import RawAnswer, UpstreamError
from app.upstream.failures import from_event, timed_out, unreachable, unreadable
from app.upstream.message import JsonObject
from app.upstream.retry import RetryPolicy, ignored

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic._types import RequestOptions

RAW_RESPONSE = "X-Stainless-Raw-Response"
"""Tells the SDK to hand over the response unread. Source: `_constants.py` of anthropic 2.12.0."""

_REDACTED = "[redacted]"

_Item = TypeVar("_Item")

_CONNECT_TIMEOUT_S = 5.0

MAX_ANSWER_BYTES = 64_000_000
"""Of an answer that is read whole; ours, so that something else in the vendor's place cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that goes to the API as a form, with the form's other fields."""

    name: str
    data: bytes
    media_type: str
    fields: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the API: JSON in `body`, or a form in `upload`, or neither. `query` goes as it is."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    headers: Mapping[str, str]
    query: str = ""
    body: bytes | None = None
    upload: Upload | None = None
    resend: bool = True
    """Whether it may be sent again where it is not known if it arrived; false where that could cost a fortune."""


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
        pieces = self._response.aiter_bytes()
        while (piece := await self._next(pieces)) is not None:
            yield piece

    async def __aiter__(self) -> AsyncIterator[JsonObject]:
        """Every event but pings.

        Raises:
            UpstreamError: the vendor's `error` event, a broken connection, silence, or something that is no event.
        """
        from anthropic import AsyncStream  # noqa: PLC0415 - as in `failures`

        events = AsyncStream.raw_events(self._response)
        while (event := await self._next(events)) is not None:
            payload = _json_object(event.data.encode(), self.request_id)
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


class _Sent:
    """The bytes of a request, to be let go of once its answer begins: the transport keeps what it has sent."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data


class ClaudeUpstream:
    """The API, through the SDK's client for its authentication, transport and typed errors."""

    def __init__(
        self,
        make_client: Callable[[], "AsyncAnthropic"],
        retries: RetryPolicy,
        idle_timeout_s: float,
        failed: Callable[[int], None],
    ) -> None:
        """The client that is made must not retry by itself. `failed` is told the status of each call that fails."""
        self._failed = failed
        self._make_client = make_client
        self._client: AsyncAnthropic | None = None
        self._making = anyio.Lock()
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
        failed: Callable[[int], None] = ignored,
    ) -> Self:
        """A client with its own connection pool, made for the first call; `close` ends it."""

        def make_client() -> "AsyncAnthropic":
            from anthropic import AsyncAnthropic  # noqa: PLC0415 - as in `failures`

            return AsyncAnthropic(
                api_key=api_key,
                auth_token=auth_token,
                base_url=base_url,
                max_retries=0,
                timeout=httpx2.Timeout(retries.timeout_s, connect=_CONNECT_TIMEOUT_S),
                open_telemetry=False,
            )

        return cls(make_client, retries, idle_timeout_s, failed)

    async def client(self) -> "AsyncAnthropic":
        """The SDK's client; imported and made in a thread where it has not been."""
        async with self._making:
            if self._client is None:
                self._client = await to_thread.run_sync(self._make_client)
        return self._client

    async def send(self, call: Call) -> Reply:
        """The whole answer to the call.

        Raises:
            UpstreamError: whatever kept it from coming, retries included.
        """
        await self.client()  # where it is still being imported, that is no time of the vendor's
        try:
            return await self._retries.run(lambda: self._read(call), resend=call.resend)
        except UpstreamError as error:
            raise self._told(error) from error

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncGenerator[EventStream]:
        """The answer to the call as it comes; closed, read to its end or not, on exit.

        Raises:
            UpstreamError: what kept it from beginning, retries included.
        """
        await self.client()  # as in `send`
        opening = self._retries.run(partial(self._open, call), resend=call.resend)
        del call  # a stream can last minutes, and needs nothing of what was sent
        try:
            response = await opening
        except UpstreamError as error:
            raise self._told(error) from error
        try:
            yield EventStream(response, self._headers(response.headers), self._idle_timeout_s, self._failed)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def close(self) -> None:
        """Give back every connection."""
        if self._client is not None:
            await self._client.close()

    def _told(self, error: UpstreamError) -> UpstreamError:
        """The same error, counted, and without the operator's credential."""
        self._failed(error.status)
        return self._redacted(error)

    def _redacted(self, error: UpstreamError) -> UpstreamError:
        """The same error without the operator's credential, should the answer repeat it."""
        error.message = self._without_secrets(error.message)
        if error.raw is not None:
            content = self._without_secrets(error.raw.content.decode("utf-8", "surrogateescape"))
            headers = self._headers(error.raw.headers)
            error.raw = RawAnswer(error.raw.status, headers, content.encode("utf-8", "surrogateescape"))
        return error

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers of an answer, the operator's credential cut out."""
        return {name: self._without_secrets(value) for name, value in headers.items()}

    def _without_secrets(self, text: str) -> str:
        client = self._client
        for secret in filter(None, () if client is None else (client.api_key, client.auth_token)):
            text = text.replace(secret, _REDACTED)
        return text

    async def _read(self, call: Call) -> Reply:
        response = await self._open(call)
        content = bytearray()
        try:
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    raise unreachable(f"the answer of the Claude API is over {MAX_ANSWER_BYTES} bytes, the limit")
        except httpx2.HTTPError as error:
            raise unreachable("the answer of the Claude API was cut") from error
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
        return Reply(bytes(content), self._headers(response.headers))

    async def _open(self, call: Call) -> httpx2.Response:
        """The response, its body unread."""
        client = await self.client()
        headers = {**call.headers, RAW_RESPONSE: "stream"}
        options: RequestOptions = {"headers": headers, "timeout": self._timeout, "follow_redirects": False}
        path = f"{call.path}?{call.query}" if call.query else call.path
        if call.method == "GET":
            return await client.get(path, cast_to=httpx2.Response, options=options)
        if call.method == "DELETE":
            return await client.delete(path, cast_to=httpx2.Response, options=options)
        if call.upload is not None:
            headers["content-type"] = "multipart/form-data"
            files = [("file", (call.upload.name, call.upload.data, call.upload.media_type))]
            fields = dict(call.upload.fields)
            return await client.post(path, body=fields, files=files, cast_to=httpx2.Response, options=options)
        headers["content-type"] = "application/json"
        if call.body is None:
            return await client.post(path, cast_to=httpx2.Response, options=options)
        headers["content-length"] = str(len(call.body))
        sent = _Sent(call.body)
        try:
            return await client.post(path, content=sent, cast_to=httpx2.Response, options=options)
        finally:
            sent.data = b""


def _json_object(content: bytes, request_id: str | None) -> JsonObject:
    try:
        decoded = cast("Json", msgspec.json.decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unreadable(request_id) from error
    if not isinstance(decoded, dict):
        raise unreadable(request_id)
    return decoded
