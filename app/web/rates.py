"""`x-ratelimit-*`: what is left of the caller's limits by the minute, told with every answer that counts."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil

from app.pipeline import RateLimit


def rate_limit_headers(limits: Sequence[RateLimit], now: datetime) -> dict[str, str]:
    """Of each limit three: the whole of it, what remains, and in how many seconds it is whole again."""
    headers: dict[str, str] = {}
    for limit in limits:
        headers[f"x-ratelimit-limit-{limit.kind}"] = str(limit.limit)
        headers[f"x-ratelimit-remaining-{limit.kind}"] = str(limit.remaining)
        headers[f"x-ratelimit-reset-{limit.kind}"] = str(max(ceil((limit.reset_at - now).total_seconds()), 0))
    return headers
