"""`Idempotency-Key`: a POST that spends, repeated within a day, gets the first answer and spends nothing.

A route reads what was sent, returns `await once.kept(sent)` where that is an answer, and reserves with `once.claim`;
the pipeline keeps what was answered together with the settlement.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated

from fastapi import Depends, Request, Response

from app.errors import AppError, ErrorCode
from app.pipeline import MOST_KEPT_BYTES, Claim, Services, WireAnswer, event_name
from app.web.bodies import off_loop
from app.web.deps import CallerOf
from app.web.forms import FormPart
from app.web.reading import forwarded_headers

REPLAYED_HEADER = "idempotent-replayed"

_KEY = re.compile(r"[ -~]{1,255}")
_OF_ITS_MOMENT = ("x-ratelimit-", "anthropic-ratelimit-", "server-timing")
"""Beginnings of headers that say nothing any more when an answer is given again."""

_LAST_EVENTS = frozenset({"done", "message_stop"})


class Once:
    """What is known of a request's Idempotency-Key; `claim` is None until `kept` is asked, and without a key."""

    def __init__(self, request: Request, owner: str, key: str | None, services: Services) -> None:
        """`owner` is whose keys they are: the same one of somebody else is another."""
        self._request = request
        self._owner = owner
        self._key = key
        self._services = services
        self.claim: Claim | None = None

    async def kept(self, sent: bytes | Sequence[FormPart]) -> Response | None:
        """The answer that the same request got before; None where it has to be answered.

        `sent` is the decoded body, or the parts of the form.

        Raises:
            AppError: `idempotency_conflict`, `idempotency_in_progress`.
        """
        if self._key is None:
            return None
        digest = await off_loop(_digest, self._request, sent)
        self.claim = Claim(self._owner, self._key, digest)
        kept = await self._services.ledger.answer_kept(self.claim)
        if kept is None:
            return None
        headers = {name: value for name, value in kept.headers.items() if not name.startswith(_OF_ITS_MOMENT)}
        return Response(kept.content, kept.status, {**headers, REPLAYED_HEADER: "true"})

    def recording(self) -> "Recording":
        """What takes down a stream, where somebody may ask for it again."""
        return Recording(0 if self.claim is None else MOST_KEPT_BYTES)


class Recording:
    """The events of a stream as they went to the client."""

    def __init__(self, most_bytes: int) -> None:
        """What exceeds the bound is not held in memory: the ledger will not keep it."""
        self._most_bytes = most_bytes
        self._recorded = bytearray()
        self._whole = False

    async def of(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same events, taken down as they pass."""
        async for event in events:
            if self._most_bytes:
                self._add(event)
            yield event

    def answer(self, headers: Mapping[str, str]) -> WireAnswer | None:
        """All of them as one answer; None where the last has not come."""
        return WireAnswer(200, dict(headers), bytes(self._recorded)) if self._whole else None

    def _add(self, event: bytes) -> None:
        if len(self._recorded) <= self._most_bytes:
            self._recorded += event
        self._whole = self._whole or event_name(event) in _LAST_EVENTS


async def _once(request: Request, caller: CallerOf) -> Once:
    """What is known of the request's Idempotency-Key.

    Raises:
        AppError: `invalid_request`, what was sent is none.
    """
    sent = [key.strip() for key in request.headers.getlist("idempotency-key")]
    if len(sent) > 1 or any(_KEY.fullmatch(key) is None for key in sent):
        raise AppError(
            ErrorCode.INVALID_REQUEST,
            "Idempotency-Key: send one, of 1 to 255 printable ASCII characters",
            field="idempotency-key",
        )
    return Once(request, caller.spenders[-1].id, sent[0] if sent else None, request.app.state.services)


OnceOf = Annotated[Once, Depends(_once)]


def _digest(request: Request, sent: bytes | Sequence[FormPart]) -> str:
    """Of what was asked, not of its spelling on the wire: neither the boundary of a form nor a compression is in it."""
    report = request.headers.get("x-vision-proxy-report", "").lower()
    kind = "body" if isinstance(sent, bytes) else "form"
    around = (kind, request.url.path, request.url.query, report, forwarded_headers(request))
    asked = hashlib.sha256(repr(around).encode())
    if isinstance(sent, bytes):
        asked.update(sent)
    else:
        for part in sent:
            described = (part.name, part.filename, part.media_type, part.is_file, len(part.data))
            asked.update(repr(described).encode())
            asked.update(part.data)
    return asked.hexdigest()
