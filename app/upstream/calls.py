"""What is sent to the Claude API, and a good answer that was read whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

import msgspec

from app.domain import SANDBOX_HEADER, Json
from app.upstream.failures import unreadable
from app.upstream.message import JsonObject
from app.upstream.pieces import Pieces

_MAX_MESSAGE_BYTES = 8_000_000
"""Of an answer that is decoded, several times the longest that a model gives: decoding holds the event loop."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that goes to the API as a form, with the form's other fields."""

    name: str
    data: bytes
    media_type: str
    fields: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the API: JSON in `body`, or a form in `upload`, or neither. `query` goes as it is."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    headers: Mapping[str, str]
    query: str = ""
    body: bytes | Pieces | None = None
    upload: Upload | None = None
    resend: bool = True
    """Whether it may be sent again where it is not known if it arrived; false where that could cost a fortune."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer of the API, as it came; header names in lower case."""

    content: bytes
    headers: Mapping[str, str]

    @property
    def request_id(self) -> str | None:
        """The vendor's id of the request."""
        return self.headers.get("request-id")

    @property
    def sandbox(self) -> bool:
        """Whether the sandbox answered."""
        return SANDBOX_HEADER in self.headers

    def json_object(self) -> JsonObject:
        """The content, decoded.

        Raises:
            UpstreamError: it is no JSON object.
        """
        return json_object_of(self.content, self.request_id)


def json_object_of(content: bytes, request_id: str | None) -> JsonObject:
    """What the vendor said in answer to that request, decoded.

    Raises:
        UpstreamError: it is no JSON object.
    """
    if len(content) > _MAX_MESSAGE_BYTES:
        raise unreadable(request_id)
    try:
        decoded = cast("Json", msgspec.json.decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(request_id) from error
    if not isinstance(decoded, dict):
        raise unreadable(request_id)
    return decoded
