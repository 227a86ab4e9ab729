"""The one retry loop: which failures are worth another attempt, how long to wait, when to stop."""

import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

import anyio

from app.upstream.failures import from_sdk, timed_out

if TYPE_CHECKING:
    import anthropic

_Answer = TypeVar("_Answer")

_FIRST_WAIT_S, _LONGEST_OWN_WAIT_S = 0.5, 8.0
_REQUEST_TIMEOUT, _CONFLICT, _RATE_LIMITED, _SERVER_ERROR, _OVERLOADED = 408, 409, 429, 500, 529


def ignored(status: int) -> None:
    """For those who count nothing."""
    del status


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of the loop: `max_retries` after the first attempt, all within `timeout_s`."""

    max_retries: int
    timeout_s: float
    max_wait_s: float
    retried: Callable[[int], None] = ignored
    """Told the status of each failure that leads to another attempt."""

    async def run(self, attempt: Callable[[], Awaitable[_Answer]], *, resend: bool = True) -> _Answer:
        """The answer of the first attempt that gives one.

        Without `resend` only those failures are tried again that say that nothing was done.

        Raises:
            UpstreamError: the last attempt's failure, `upstream_unreachable`, or `upstream_timeout` once the whole
                time is used up.
        """
        try:
            with anyio.fail_after(self.timeout_s):
                return await self._attempts(attempt, resend=resend)
        except TimeoutError as error:
            message = f"no answer from the Claude API within {self.timeout_s:g} s"
            raise timed_out(message) from error

    async def _attempts(self, attempt: Callable[[], Awaitable[_Answer]], *, resend: bool) -> _Answer:
        import anthropic  # noqa: PLC0415 - as in `failures`

        for retries in range(self.max_retries + 1):
            try:
                return await attempt()
            except anthropic.APIError as error:
                wait_s = _wait_before_retry(error, retries) if resend or _was_turned_away(error) else None
                if wait_s is None or wait_s > self.max_wait_s or retries == self.max_retries:
                    raise from_sdk(error) from error
                self.retried(from_sdk(error).status)
            await anyio.sleep(wait_s)
        raise AssertionError  # the last round returns or raises


def _was_turned_away(error: "anthropic.APIError") -> bool:
    """Whether the vendor refused the call before doing anything."""
    import anthropic  # noqa: PLC0415 - as in `failures`

    return isinstance(error, anthropic.APIStatusError) and error.status_code in {_RATE_LIMITED, _OVERLOADED}


def _wait_before_retry(error: "anthropic.APIError", retries: int) -> float | None:
    """Seconds to wait before the next attempt; None where another one would fail the same way or cost twice.

    A 429 without `retry-after` is a spend cap and stays one until the month turns.
    Source: https://platform.claude.com/docs/en/api/rate-limits, seen 2026-08-22.
    """
    import anthropic  # noqa: PLC0415 - as in `failures`

    own_wait_s = min(_FIRST_WAIT_S * 2**retries, _LONGEST_OWN_WAIT_S) * random.uniform(0.75, 1)  # noqa: S311 - jitter
    if isinstance(error, anthropic.APIConnectionError):
        return own_wait_s
    if not isinstance(error, anthropic.APIStatusError):
        return None
    retry_after_s = _retry_after(error)
    if error.status_code == _RATE_LIMITED:
        return retry_after_s
    if error.status_code in {_REQUEST_TIMEOUT, _CONFLICT} or error.status_code >= _SERVER_ERROR:
        return own_wait_s if retry_after_s is None else retry_after_s
    return None


def _retry_after(error: "anthropic.APIStatusError") -> float | None:
    """Seconds, from a number of them or from a date; None where the header is absent or says neither."""
    value = error.response.headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
