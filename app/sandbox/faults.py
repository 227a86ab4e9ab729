"""Faults on request: the header `x-vision-proxy-sandbox-fault` makes an answer go wrong, so that clients can be tested.

    fault   = item *( ";" item )
    item    = one of ERRORS, or cut, cut-before, garbage, error-event, dimensions,
              dimensions=PIXELS (only while a picture has a longer side), bytes (only while a picture is longer than
              5 MB as base64), hold (a new batch stays in progress),
              slow=SECONDS (before the answer), drip=SECONDS (between the events of a stream),
              retry-after=SECONDS (with an error), times=N (only the first N requests of the same case)

The case is the value of the header `x-vision-proxy-sandbox-case`. A fault strikes once the request has passed every
check, so what is wrong with a request is always told first. Faults of pictures strike each request of a batch by itself
and no request that has no prompt; all others strike the request for the batch.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Protocol, TypeVar

import anyio
from starlette.requests import Request

from app.sandbox.attendance import hang_up
from app.sandbox.errors import SandboxError, dimensions_too_large, invalid
from app.sandbox.images import (
    MAX_SIDE_OF_MANY_PX,
    SIDE_OF_MANY,
    MeasuredImage,
    base64_chars,
    check_base64_chars,
    check_longest_side,
)
from app.sandbox.prompt import ImageBlock

FAULT_HEADER = "x-vision-proxy-sandbox-fault"
CASE_HEADER = "x-vision-proxy-sandbox-case"

MAX_DIGITS = 9
"""The sandbox's own choice: how long a number of pixels may be."""

MAX_CASES = 1_000
"""The sandbox's own choice: the case that was begun first is forgotten when another one comes."""


@dataclass(frozen=True, slots=True)
class ErrorFault:
    """An error that the vendor answers now and then."""

    status: int
    error_type: str
    message: str
    error_code: str | None = None


ERRORS = {
    "400-spend": ErrorFault(
        400,
        "invalid_request_error",
        "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
    ),
    "400-grammar": ErrorFault(
        400,
        "invalid_request_error",
        "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas or reduce "
        "the number of strict tools.",
    ),
    "403": ErrorFault(403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "408": ErrorFault(408, "timeout_error", "Request timed out"),
    "409": ErrorFault(409, "conflict_error", "The request conflicts with another one in progress"),
    "429": ErrorFault(
        429,
        "rate_limit_error",
        "This request would exceed the rate limit for your organization of 2000000 input tokens per minute.",
    ),
    "429-spend": ErrorFault(
        429,
        "rate_limit_error",
        "Your organization has crossed the monthly API usage threshold of its tier.",
        "enforced_spend_limit_reached",
    ),
    "500": ErrorFault(500, "api_error", "Internal server error"),
    "504": ErrorFault(504, "timeout_error", "Request timed out"),
    "529": ErrorFault(529, "overloaded_error", "Overloaded"),
}
"""Source: https://platform.claude.com/docs/en/api/errors and /api/rate-limits, seen 2026-08-22. The wording of 403,
408, 409, 429-spend and 504 is the sandbox's own, as is the type of 408."""

BEHAVIOURS = ("cut", "cut-before", "garbage", "error-event", "dimensions", "bytes", "hold")
SECONDS = ("slow", "drip", "retry-after")

KNOWN = ", ".join(
    (*ERRORS, *BEHAVIOURS, "dimensions=PIXELS", *(f"{name}=SECONDS" for name in SECONDS), "times=N"),
)

MAX_CHARS_OF_FAULT = 5_242_880
"""What the vendor's "5 MB" meant, and on other platforms still means.

Source: https://platform.claude.com/docs/en/build-with-claude/vision, seen 2026-08-22; the words from
https://github.com/anthropics/claude-code/issues/10612.
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer; by default nothing. `kind` is a key of `ERRORS` or one of `BEHAVIOURS`.

    `max_side_px` is set where `dimensions` strikes only pictures with a longer side.
    """

    kind: str | None = None
    max_side_px: int | None = None
    slow_s: float = 0.0
    drip_s: float = 0.0
    retry_after: str | None = None
    times: int | None = None

    def error(self) -> SandboxError | None:
        """The error that `kind` names, if it names one."""
        named = ERRORS.get(self.kind or "")
        if named is None:
            return None
        return SandboxError(
            named.status,
            named.error_type,
            named.message,
            details=None if named.error_code is None else {"error_code": named.error_code},
            headers=None if self.retry_after is None else {"retry-after": self.retry_after},
        )


class Wish(Protocol):
    """Something that a header asks for, for the first `times` requests of a case; None is all of them."""

    @property
    def times(self) -> int | None: ...  # noqa: D102


_Wish = TypeVar("_Wish", bound=Wish)


class CaseCounter:
    """How often each case has met what it asked for."""

    def __init__(self) -> None:
        """Start with none."""
        self._met: OrderedDict[tuple[str, str], int] = OrderedDict()

    def due(self, request: Request, header: str, parse: Callable[[str], _Wish], otherwise: _Wish) -> _Wish:
        """What the request asks for in that header and is still to meet, else `otherwise`.

        Raises:
            SandboxError: 400 with everything known, it asks for something else.
        """
        asked = request.headers.get(header)
        if asked is None:
            return otherwise
        wish = parse(asked)
        if wish.times is None or self._met_now(request.headers.get(CASE_HEADER, ""), asked) <= wish.times:
            return wish
        return otherwise

    def _met_now(self, case: str, asked: str) -> int:
        """How often that case has met it, this time included."""
        met = self._met[case, asked] = self._met.get((case, asked), 0) + 1
        while len(self._met) > MAX_CASES:
            self._met.popitem(last=False)
        return met


def fault_for(request: Request, counter: CaseCounter) -> Fault:
    """The fault that this request asks for and is still to meet. Raises as `CaseCounter.due`."""
    return counter.due(request, FAULT_HEADER, parse_fault, Fault())


def parse_fault(text: str) -> Fault:
    """The fault that a header value names.

    Raises:
        SandboxError: 400 with every known fault, it names none, two, or something else.
    """
    fault = Fault()
    for item in (item.strip() for item in text.split(";")):
        name, has_value, value = (piece.strip() for piece in item.partition("="))
        if not has_value and (name in ERRORS or name in BEHAVIOURS) and fault.kind is None:
            fault = replace(fault, kind=name)
        elif name == "dimensions" and fault.kind is None and (max_side_px := _pixels(value)) is not None:
            fault = replace(fault, kind=name, max_side_px=max_side_px)
        elif name in SECONDS and (seconds := _seconds(value)) is not None:
            fault = _with_seconds(fault, name, seconds, value)
        elif name == "times" and value.isdecimal():
            fault = replace(fault, times=int(value))
        else:
            raise invalid(
                f"{FAULT_HEADER}: '{item}' is not understood; known are {KNOWN}, at most one of the first kind"
            )
    return fault


async def fail(fault: Fault, request: Request, *, streams: bool = False) -> None:
    """Wait, refuse or hang up as the fault says; returns if the answer is still to come.

    An `error-event` needs a stream to happen in; without one it is the plain error.

    Raises:
        SandboxError: the error that the fault names.
    """
    if fault.slow_s:
        await anyio.sleep(fault.slow_s)
    if (error := fault.error()) is not None:
        raise error
    if fault.kind == "error-event" and not streams:
        raise overloaded()
    if fault.kind == "cut-before":
        await hang_up(request)


def refuse_images(fault: Fault, blocks: Sequence[ImageBlock], images: Sequence[MeasuredImage]) -> None:
    """Refuse pictures as the fault says; `images` are those of `blocks` that were measured.

    Raises:
        SandboxError: 400, the refusal that the fault names.
    """
    if fault.kind == "dimensions" and fault.max_side_px is not None:
        check_longest_side(images, fault.max_side_px, SIDE_OF_MANY)
    elif fault.kind == "dimensions":
        path = blocks[0].path if blocks else "messages.0.content.0"
        message = (
            f"{path}.image.source.base64.data: At least one of the image dimensions exceed {SIDE_OF_MANY}: "
            f"{MAX_SIDE_OF_MANY_PX} pixels"
        )
        raise dimensions_too_large(message, max_side_px=MAX_SIDE_OF_MANY_PX, paths=[path])
    elif fault.kind == "bytes":
        for image in images:
            check_base64_chars(image.block, base64_chars(image.size_bytes), MAX_CHARS_OF_FAULT, "5 MB")


def overloaded() -> SandboxError:
    """529, the error that comes in the middle of streams."""
    named = ERRORS["529"]
    return SandboxError(named.status, named.error_type, named.message)


def _pixels(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdecimal() and 0 < len(value) <= MAX_DIGITS else None


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _with_seconds(fault: Fault, name: str, seconds: float, value: str) -> Fault:
    if name == "slow":
        return replace(fault, slow_s=seconds)
    if name == "drip":
        return replace(fault, drip_s=seconds)
    return replace(fault, retry_after=value)
