"""Calls to the Claude API with prebuilt bodies: 1.5 ms for 10 MB where `messages.create` asks 30 (docs/decisions)."""

import gc
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Self

import anyio
import httpx2
from anyio import to_thread

from app.errors import RawAnswer, UpstreamError
from app.upstream.bounded import bounded_client, content_of
from app.upstream.calls import Call, Reply
from app.upstream.event_stream import EventStream
from app.upstream.failures import unreachable
from app.upstream.pieces import Pieces, Sending
from app.upstream.retry import RetryPolicy, ignored

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic._types import RequestOptions

RAW_RESPONSE = "X-Stainless-Raw-Response"
"""Tells the SDK to hand over the response unread. Source: `_constants.py` of anthropic 2.12.0."""

_REDACTED = "[redacted]"

_CONNECT_TIMEOUT_S = 5.0

MAX_ANSWER_BYTES = 64_000_000
"""Of an answer that is read whole; ours, so that something else in the vendor's place cannot fill the memory."""


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
                http_client=bounded_client(),
            )

        return cls(make_client, retries, idle_timeout_s, failed)

    async def client(self) -> "AsyncAnthropic":
        """The SDK's client; imported and made in a thread where it has not been."""
        async with self._making:
            if self._client is None:
                loaded = "anthropic" in sys.modules
                self._client = await to_thread.run_sync(self._make_client)
                if not loaded:
                    gc.freeze()  # the SDK stays: looking through all of it for garbage would hold everybody up
        return self._client

    async def warm_up(self) -> None:
        """Return once the first call need not wait for the SDK any more."""
        await self.client()

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
        try:
            content = await content_of(response, MAX_ANSWER_BYTES, "the answer of the Claude API")
        except httpx2.HTTPError as error:
            raise unreachable("the answer of the Claude API was cut") from error
        return Reply(content, self._headers(response.headers))

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
        pieces = Pieces((call.body,)) if isinstance(call.body, bytes) else call.body
        headers["content-length"] = str(pieces.size_bytes)
        sending = Sending(pieces)
        try:
            return await client.post(path, content=sending, cast_to=httpx2.Response, options=options)
        finally:
            sending.let_go()
