"""What comes back from the vendor on the drop-in endpoints: which headers, and refusals as they were said."""

from collections.abc import Mapping

from fastapi import Response

from app.errors import UpstreamError

_HEADERS = frozenset({"content-type", "request-id", "retry-after", "x-should-retry"})
_PREFIXES = ("anthropic-", "x-vision-proxy-sandbox")


def passed_back(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the vendor's headers that its clients know."""
    return {name: value for name, value in headers.items() if name in _HEADERS or name.startswith(_PREFIXES)}


def refused(error: UpstreamError) -> Response:
    """The vendor's own refusal, byte for byte.

    Raises:
        UpstreamError: the same, where the vendor said nothing; it becomes a refusal of ours.
    """
    if error.raw is None:
        raise error
    return Response(error.raw.content, error.raw.status, passed_back(error.raw.headers))
