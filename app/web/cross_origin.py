"""Which web pages may call from a browser, and what of an answer their scripts may read."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

_EXPOSED = (
    "*",  # every header, where no cookies are sent; browsers that do not know it take those that are named
    *("request-id", "retry-after", "server-timing", "idempotent-replayed"),
    *("x-vision-proxy-request-id", "x-vision-proxy-sandbox"),
    *("x-vision-proxy-cost-usd", "x-vision-proxy-image-tokens", "x-vision-proxy-image", "x-vision-proxy-warnings"),
    *(
        f"x-ratelimit-{what}-{kind}"
        for what in ("limit", "remaining", "reset")
        for kind in ("requests", "images", "tokens")
    ),
)
_PREFLIGHT_S = 600


def add_cors(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of those origins call; outermost, so that refusals can be read too and preflights need no key."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PATCH", "DELETE"),
        allow_headers=("*",),
        expose_headers=_EXPOSED,
        max_age=_PREFLIGHT_S,
    )
