"""GET requests to an address that was checked, in the name of its host; no name is resolved here."""

import ssl

import httpx2

from app.fetch.addresses import Address
from app.fetch.policy import FetchLimits
from app.fetch.urls import ImageUrl

USER_AGENT = "vision-proxy/0.1 (+image fetch)"


class PinnedTransport:
    """HTTP/1.1 without a client around it: no cookies, credentials, proxies, redirects, decompression, URLs in logs."""

    def __init__(self, limits: FetchLimits, tls: ssl.SSLContext | None) -> None:
        """`tls` is for servers whose certificates the machine does not know.

        No connection is kept: one that was verified for a host must not serve another host at the same address.
        """
        self._connect_timeout_s = limits.connect_timeout_s
        self._transport = httpx2.AsyncHTTPTransport(
            verify=tls or True,
            trust_env=False,
            limits=httpx2.Limits(max_connections=limits.max_connections, max_keepalive_connections=0),
        )

    async def get(self, url: ImageUrl, address: Address) -> httpx2.Response:
        """The response, its body unread; whoever asked closes it. The certificate must be the host's.

        Raises:
            httpx2.HTTPError: no connection, or no answer.
        """
        request = httpx2.Request(
            "GET",
            url.url.copy_with(host=str(address)),
            headers={
                "host": url.url.netloc.decode("ascii"),
                "user-agent": USER_AGENT,
                "accept": "image/*",
                "accept-encoding": "identity",
                "connection": "close",
            },
            extensions={"sni_hostname": url.host, "timeout": {"connect": self._connect_timeout_s}},
        )
        return await self._transport.handle_async_request(request)

    async def close(self) -> None:
        """Close what is open."""
        await self._transport.aclose()
