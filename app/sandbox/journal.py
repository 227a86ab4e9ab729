"""What arrived, for tests to read: sizes and digests, never a key, a prompt or a picture."""

from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256

import anyio
from starlette.datastructures import Headers

from app.domain import Json

MAX_VISITS = 1_000
"""The sandbox's own choice: the oldest visit falls out when another one comes."""

SHOWN_HEADERS = (
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "anthropic-workspace-id",
    "content-encoding",
    "content-length",
    "content-type",
    "idempotency-key",
    "user-agent",
    "x-stainless-retry-count",
    "x-vision-proxy-sandbox-answer",
    "x-vision-proxy-sandbox-case",
    "x-vision-proxy-sandbox-fault",
)
"""Headers whose value is kept; of all others only the name."""

CREDENTIAL_HEADERS = ("x-api-key", "authorization")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture as it arrived; `width` and `height` as stored, in pixels, before any orientation.

    `base64_chars` is 0 where the picture was uploaded as a file, then or now.
    """

    path: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    base64_chars: int
    sha256: str

    def to_json(self) -> dict[str, Json]:
        """The picture as the journal tells it."""
        return {
            "path": self.path,
            "media_type": self.media_type,
            "width": self.width,
            "height": self.height,
            "size_bytes": self.size_bytes,
            "base64_chars": self.base64_chars,
            "sha256": self.sha256,
        }


@dataclass(slots=True)
class Visit:
    """One request; filled in while it is served, hence not frozen.

    `answered` is true once the last byte was handed over, `hung_up` once the sandbox itself closed the connection, so
    that only a client that left early counts as `disconnected`.
    """

    request_id: str
    method: str
    path: str
    headers: dict[str, str]
    header_names: list[str]
    credentials: dict[str, str]
    body_bytes: int = 0
    model: str | None = None
    stream: bool = False
    fields: list[str] = field(default_factory=list[str])
    images: list[ImageRecord] = field(default_factory=list[ImageRecord])
    billed: dict[str, Json] | None = None
    status: int | None = None
    disconnected: bool = False
    answered: bool = False
    hung_up: bool = False

    def to_json(self) -> dict[str, Json]:
        """The visit as the journal tells it."""
        return {
            "request_id": self.request_id,
            "method": self.method,
            "path": self.path,
            "headers": {**self.headers},
            "header_names": [*self.header_names],
            "credentials": {**self.credentials},
            "body_bytes": self.body_bytes,
            "model": self.model,
            "stream": self.stream,
            "fields": [*self.fields],
            "images": [image.to_json() for image in self.images],
            "billed": self.billed,
            "status": self.status,
            "disconnected": self.disconnected,
        }


class Journal:
    """The last visits, oldest first."""

    def __init__(self) -> None:
        """Start empty."""
        self._visits: deque[Visit] = deque(maxlen=MAX_VISITS)
        self._in_progress = 0
        self._one_ended = anyio.Event()

    def begin(self, request_id: str, method: str, path: str, headers: Headers) -> Visit:
        """A new visit, already in the journal."""
        visit = Visit(
            request_id=request_id,
            method=method,
            path=path,
            headers={name: headers[name] for name in SHOWN_HEADERS if name in headers},
            header_names=sorted(headers.keys()),
            credentials={
                name: f"sha256:{sha256(headers[name].encode()).hexdigest()[:12]}"
                for name in CREDENTIAL_HEADERS
                if name in headers
            },
        )
        self._visits.append(visit)
        self._in_progress += 1
        return visit

    def end(self) -> None:
        """Note that one visit is over."""
        self._in_progress -= 1
        self._one_ended.set()
        self._one_ended = anyio.Event()

    async def settle(self) -> None:
        """Wait until no visit is in progress, so that a test can ask how a broken one ended without guessing when."""
        while self._in_progress:
            await self._one_ended.wait()

    def clear(self) -> None:
        """Forget every visit."""
        self._visits.clear()

    def to_json(self) -> list[Json]:
        """Every visit, newest last."""
        return [visit.to_json() for visit in self._visits]
