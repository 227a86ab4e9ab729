"""A picture from a URL, every hop checked anew, under one deadline and one byte cap."""

import ssl
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import anyio
import httpx2
from anyio.lowlevel import checkpoint

from app.fetch.addresses import Address
from app.fetch.pinned import PinnedTransport
from app.fetch.policy import FetchLimits, FetchPolicy
from app.fetch.refusals import blocked, too_large, unreachable
from app.fetch.resolve import Resolver, SystemResolver
from app.fetch.urls import ImageUrl, check_redirect, check_url

_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """What a server gave. `host` gave it, after redirects; `media_type` is its word, which is not believed."""

    data: bytes
    host: str
    media_type: str | None


class Fetcher:
    """Downloads pictures from the public internet and from nowhere else."""

    def __init__(
        self,
        limits: FetchLimits,
        policy: FetchPolicy | None = None,
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`close` ends it, the resolver too. `tls` replaces the certificates that the machine trusts."""
        self._limits = limits
        self._policy = policy or FetchPolicy()
        self._resolver = resolver or SystemResolver()
        self._transport = PinnedTransport(limits, tls)

    async def fetch(self, url: str) -> FetchedImage:
        """The bytes behind the URL; whether they are a picture is for others to say.

        Raises:
            ImageError: `url_blocked`, `url_unreachable`, `url_too_large`.
        """
        first = check_url(url, self._policy, self._limits.max_url_chars)
        timeout_s = self._limits.timeout_s
        try:
            with anyio.fail_after(timeout_s):
                return await self._follow(first)
        except TimeoutError as error:
            raise unreachable(first.place, f"not fetched within {timeout_s:g} s", limit=timeout_s) from error

    async def close(self) -> None:
        """Give back connections and threads."""
        self._resolver.close()
        await self._transport.close()

    async def _follow(self, first: ImageUrl) -> FetchedImage:
        limits, url, redirects = self._limits, first, 0
        while True:
            async with self._open(url) as response:
                if response.status_code not in _REDIRECTS:
                    return await self._read(url, response)
                status, location = response.status_code, response.headers.get("location")
            if location is None:
                raise unreachable(url.place, f"status {status}, a redirect that leads nowhere", status=status)
            redirects += 1
            if redirects > limits.max_redirects:
                raise unreachable(
                    first.place, f"more than {limits.max_redirects} redirects", limit=limits.max_redirects
                )
            place = f"redirect {redirects} of {first.place}"
            url = check_redirect(url, location, self._policy, limits.max_url_chars, place)

    @asynccontextmanager
    async def _open(self, url: ImageUrl) -> AsyncGenerator[httpx2.Response]:
        """The response, its body unread; closed on exit.

        Raises:
            ImageError: `url_blocked`, `url_unreachable`; the latter also where the body breaks off inside the context.
        """
        addresses = await self._checked_addresses(url)
        try:
            response = await self._connect(url, addresses)
            try:
                yield response
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        except (httpx2.HTTPError, ssl.SSLError) as error:
            raise unreachable(url.place, _what_failed(error)) from error

    async def _checked_addresses(self, url: ImageUrl) -> list[Address]:
        """Every address of the host, all of them allowed.

        Raises:
            ImageError: `url_blocked` where one is not, `url_unreachable` where there is none.
        """
        addresses = [url.address] if url.address else await self._resolve(url)
        if not all(self._policy.allows(address) for address in addresses):
            raise blocked(url.place, "its address is not on the public internet")
        return addresses

    async def _resolve(self, url: ImageUrl) -> list[Address]:
        try:
            found = await self._resolver.resolve(url.host, url.port)
        except OSError as error:
            raise unreachable(url.place, "no address is known for it") from error
        if not found:
            raise unreachable(url.place, "no address is known for it")
        return [ip_address(text) for text in found]

    async def _connect(self, url: ImageUrl, addresses: Sequence[Address]) -> httpx2.Response:
        """The response of the first address that can be connected to.

        Raises:
            httpx2.HTTPError: none could, or the one that could gave no answer.
        """
        *others, last = addresses
        for address in others:
            try:
                return await self._transport.get(url, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._transport.get(url, last)

    async def _read(self, url: ImageUrl, response: httpx2.Response) -> FetchedImage:
        """The whole body, which is refused when the cap is passed, not after.

        Raises:
            ImageError: `url_unreachable` for another status than 200 and for compression, `url_too_large`.
        """
        status, max_bytes = response.status_code, self._limits.max_bytes
        if status != _OK:
            raise unreachable(url.place, f"the server answered with status {status}", status=status)
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise unreachable(url.place, "the server compressed its answer, although asked not to", status=status)
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise too_large(url.place, max_bytes, int(declared))
        body = bytearray()
        async with aclosing(response.aiter_raw()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > max_bytes:
                    raise too_large(url.place, max_bytes, None)
                await checkpoint()  # 64 kB of one-byte chunks would hold the event loop for as long as they take
        return FetchedImage(bytes(body), url.host, _media_type(response))


def _media_type(response: httpx2.Response) -> str | None:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() or None


def _what_failed(error: Exception) -> str:
    """A reason without addresses, which the texts of the errors hold."""
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return "its certificate cannot be verified"
    if isinstance(error, httpx2.ConnectTimeout):
        return "it did not accept a connection in time"
    if isinstance(error, httpx2.ConnectError):
        return "it cannot be connected to"
    return "the connection broke off, or the answer is not HTTP"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
