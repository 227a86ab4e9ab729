"""Which URLs may be asked, before any name is resolved."""

import re
from dataclasses import dataclass
from ipaddress import ip_address

import httpx2

from app.fetch.addresses import Address
from app.fetch.policy import FetchPolicy
from app.fetch.refusals import blocked

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_HOST_CHARS = 253


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """A URL that may be asked if its addresses may. `host` is ASCII; `place` is what messages call it."""

    url: httpx2.URL
    host: str
    port: int
    place: str

    @property
    def address(self) -> Address | None:
        """The address, where the host is one."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


def check_url(text: str, policy: FetchPolicy, max_chars: int, redirect: str | None = None) -> ImageUrl:
    """The URL, taken apart once; what is asked later is made of these parts. `redirect` names one, for messages.

    Raises:
        ImageError: `url_blocked`: no URL, too long, with credentials, or of a scheme, host or port that is not asked.
    """
    place = redirect or "the URL"
    _check_length(text, max_chars, place)
    try:
        url = httpx2.URL(text).copy_with(fragment=None)
    except (httpx2.InvalidURL, ValueError) as error:
        raise blocked(place, "it cannot be read as a URL") from error
    host = url.raw_host.decode("ascii")
    _check_host(host, place)
    place = redirect or host
    if url.scheme not in policy.schemes:
        raise blocked(place, f"only {_listed(policy.schemes)} is fetched, not {url.scheme or 'a URL without a scheme'}")
    if url.userinfo:
        raise blocked(place, "the URL holds credentials, which are not sent")
    port = _DEFAULT_PORTS.get(url.scheme, 0) if url.port is None else url.port
    if port not in policy.ports:
        raise blocked(place, f"port {port} is not asked, only {_listed(policy.ports)}")
    return ImageUrl(url, host, port, place)


def check_redirect(url: ImageUrl, location: str, policy: FetchPolicy, max_chars: int, redirect: str) -> ImageUrl:
    """Where a redirect leads; `location` may be relative.

    Raises:
        ImageError: `url_blocked`, as `check_url`, and from https to anything else.
    """
    _check_length(location, max_chars, redirect)
    try:
        target = str(url.url.join(location))
    except (httpx2.InvalidURL, ValueError) as error:
        raise blocked(redirect, "it cannot be read as a URL") from error
    checked = check_url(target, policy, max_chars, redirect)
    if url.url.scheme == "https" and checked.url.scheme != "https":
        raise blocked(redirect, "it leads from https to http")
    return checked


def _check_length(text: str, max_chars: int, place: str) -> None:
    if len(text) > max_chars:
        raise blocked(place, f"{len(text)} characters; the limit is {max_chars}")


def _check_host(host: str, place: str) -> None:
    """Nothing, for an address in its one usual spelling or a plain name.

    A name whose last label is a number is what resolvers take for an IPv4 address: 2130706433, 0x7f.1, 127.1.

    Source: https://url.spec.whatwg.org/#ends-in-a-number-checker, seen 2026-11-21.
    """
    if not host:
        raise blocked(place, "it has no host; a whole URL is needed, from https:// on")
    try:
        ip_address(host)
    except ValueError:
        labels = host.split(".")
        if len(host) > _MAX_HOST_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
            raise blocked(place, "its host is no domain name") from None
        if _NUMBER.fullmatch(labels[-1]):
            raise blocked(place, "its host is a number; an address is four decimal numbers") from None


def _listed(values: frozenset[str] | frozenset[int]) -> str:
    return " or ".join(sorted(str(value) for value in values))
