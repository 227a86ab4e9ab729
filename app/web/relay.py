"""What the drop-in endpoints share: what a request may do, which headers come back, refusals as they were said."""

from collections.abc import Mapping

from fastapi import Request, Response

from app.domain import Caller
from app.errors import UpstreamError
from app.pipeline import Observer, RequestPolicy, Stopwatch
from app.settings import Settings
from app.web.gate import room_of

_HEADERS = frozenset({"content-type", "request-id", "retry-after", "x-should-retry"})
_PREFIXES = ("anthropic-", "x-vision-proxy-sandbox")


def drop_in_policy(request: Request, caller: Caller, settings: Settings) -> RequestPolicy:
    """What the caller and the operator allow a Messages request."""
    return RequestPolicy(
        owner=caller.id,
        url_mode=settings.url_images,
        max_image_bytes=settings.max_image_bytes,
        max_fetched_bytes=settings.max_body_bytes,
        steady=settings.steady,
        spenders=caller.spenders,
        endpoint=request.url.path,
        request_id=request.state.request_id,
        models=caller.models,
        room=room_of(request),
        digests=wants_report(request),
    )


def wants_report(request: Request) -> bool:
    """Whether the client asked for the report of every picture."""
    return request.headers.get("x-vision-proxy-report", "").lower() == "full"


def server_timing(watch: Stopwatch) -> str:
    """The header of that name: what each step took, in milliseconds."""
    return ", ".join(f"{name};dur={spent}" for name, spent in watch.timing_ms().items())


def passed_back(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the vendor's headers that its clients know."""
    return {name: value for name, value in headers.items() if name in _HEADERS or name.startswith(_PREFIXES)}


def refused(error: UpstreamError, request: Request) -> Response:
    """The vendor's own refusal, byte for byte; counted as every other.

    Raises:
        UpstreamError: the same, where the vendor said nothing; it becomes a refusal of ours.
    """
    if error.raw is None:
        raise error
    observer: Observer = request.app.state.observer
    observer.refused(error)
    return Response(error.raw.content, error.raw.status, passed_back(error.raw.headers))
