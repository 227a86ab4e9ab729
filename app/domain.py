"""Nouns that two or more capabilities share. No behaviour beyond what follows from the values themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

import pybase64

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""Any JSON value."""

Usage: TypeAlias = Mapping[str, Json]
"""The `usage` object of a Messages answer, every upstream field unchanged."""

DetailLevel: TypeAlias = Literal["auto", "low", "standard", "high", "original"]
"""What one picture may cost, as `detail` of the native endpoints says it."""

MediaType: TypeAlias = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
"""The four formats that the Claude API takes."""

ImageSource: TypeAlias = Literal["upload", "base64", "message", "url", "file"]
"""How a picture came: a form part, base64 in JSON, a turn of the conversation, a download, a file uploaded before."""

UrlMode: TypeAlias = Literal["off", "fetch", "passthrough"]
"""What happens to a picture by URL: refused, downloaded by this service, or left to the vendor."""


SANDBOX_HEADER = "x-vision-proxy-sandbox"
"""Every answer of the sandbox carries it, and every answer given with its help, so that none is taken for Claude's."""


class Size(NamedTuple):
    """Width and height in pixels."""

    width_px: int
    height_px: int

    def __str__(self) -> str:
        """`WIDTHxHEIGHT`, as people write it."""
        return f"{self.width_px}x{self.height_px}"

    @property
    def pixels(self) -> int:
        """The area."""
        return self.width_px * self.height_px

    @property
    def transposed(self) -> "Size":
        """Width and height changed over."""
        return Size(self.height_px, self.width_px)


@dataclass(frozen=True, slots=True)
class VisionTier:
    """How large a picture a model sees before the vendor scales it down.

    Source: https://platform.claude.com/docs/en/build-with-claude/vision, seen 2026-10-11.
    """

    name: Literal["standard", "high"]
    max_edge_px: int
    max_tokens: int


STANDARD_TIER = VisionTier("standard", max_edge_px=1568, max_tokens=1568)
HIGH_TIER = VisionTier("high", max_edge_px=2576, max_tokens=4784)


@dataclass(frozen=True, slots=True)
class Model:
    """What a model is, as far as pictures, data and money go.

    `known` is false for an id that the catalog does not list; `structured_outputs` says whether it takes a schema.
    """

    id: str
    tier: VisionTier
    context_tokens: int
    max_output_tokens: int
    max_images: int
    known: bool = True
    structured_outputs: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the caller should know although the request went through; `code` is stable, `message` is for people."""

    code: str
    message: str


BudgetPeriod: TypeAlias = Literal["day", "month", "total"]
"""How long a budget lasts: a day or a month of UTC, or for good."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key, or a token made from one, may spend and ask for; None is without limit."""

    budget_usd: Decimal | None = None
    budget_period: BudgetPeriod = "total"
    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_requests: int | None = None


@dataclass(frozen=True, slots=True)
class Spender:
    """A key, or a token, by its id, and its limits."""

    id: str
    limits: KeyLimits = KeyLimits()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request; `name` is for reports and never the key, `id` is whose everything is that it leaves here.

    `spenders` are the key and, where a token was sent, the token. `models` and `endpoints` are all that it may use;
    None is any.
    """

    name: str
    id: str
    admin: bool
    spenders: tuple[Spender, ...]
    models: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None

    @property
    def by_token(self) -> bool:
        """Whether a token was sent rather than a key."""
        return len(self.spenders) > 1


OPEN_ID = "key_open"
"""Of whoever reaches a service that asks for no key."""

ENVIRONMENT_ID = "key_admin"
"""Of the admin whose key the operator's environment holds."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a PDF, as it is shown. `number` counts from 1, `count` is of the whole document."""

    number: int
    count: int
    width_pt: float
    height_pt: float
    sha256: str
    """Of the whole document."""

    def __str__(self) -> str:
        """As its label says it."""
        return f"page {self.number} of {self.count}"


@dataclass(frozen=True, slots=True)
class Tile:
    """A part cut out of a picture too long to be seen whole; places and sizes in upright pixels of the original."""

    number: int
    count: int
    left_px: int
    top_px: int
    size: Size

    def __str__(self) -> str:
        """As its label says it."""
        return f"part {self.number} of {self.count}, top left corner at x={self.left_px}, y={self.top_px} of the whole"


Part: TypeAlias = Page | Tile
"""What a picture is of the file that it came in, where it is not the whole."""


class Base64:
    """Bytes that stand as base64 in something kept anyway; let go of when nobody works on them, decoded anew if asked.

    One and the same object until it is let go of.
    """

    __slots__ = ("_decoded", "_size_bytes", "_text")

    def __init__(self, text: memoryview, decoded: bytes) -> None:
        """`decoded` is what `text` stands for, in the standard alphabet, padded."""
        self._text = text
        self._size_bytes = len(decoded)
        self._decoded: bytes | None = decoded

    def __len__(self) -> int:
        """Of the bytes."""
        return self._size_bytes

    @property
    def held(self) -> bool:
        """Whether they are in memory."""
        return self._decoded is not None

    def decoded(self) -> bytes:
        """The bytes."""
        if self._decoded is None:
            self._decoded = pybase64.b64decode(self._text, validate=True)
        return self._decoded

    def let_go(self) -> None:
        """Give back their memory."""
        self._decoded = None


@dataclass(frozen=True, slots=True)
class RawImage:
    """A picture as it was received. `media_type` is what the sender called it, which is not believed."""

    content: bytes | Base64
    source: ImageSource
    name: str | None = None
    media_type: str | None = None
    part: Part | None = None

    @property
    def data(self) -> bytes:
        """The file."""
        return self.content.decoded() if isinstance(self.content, Base64) else self.content

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return len(self.content)

    @property
    def held_bytes(self) -> int:
        """What it takes of the memory for itself."""
        return 0 if isinstance(self.content, Base64) and not self.content.held else len(self.content)

    def let_go(self) -> None:
        """Give back the memory of what can be had again."""
        if isinstance(self.content, Base64):
            self.content.let_go()


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """A picture that is still at its URL; this service downloads it before anything else."""

    url: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class FileImage:
    """A picture uploaded before, by the id that this service gave out."""

    file_id: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file at the vendor and whose it is. `size` is None for what is no picture; `owner` is the caller's id."""

    id: str
    owner: str
    vendor_id: str
    name: str
    media_type: str
    size: Size | None
    size_bytes: int
    sha256: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BatchShare:
    """The requests of a batch on one model; `reservation_id` is the row of the ledger with what they may cost.

    `bytes_before` and `bytes_after` are those of their pictures, as they came and as they were sent.
    """

    reservation_id: str
    model: str
    images: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch at the vendor and whose it is: `owner` is the caller's id.

    `shares` are empty where nobody was charged; `settled_at` is None until what it did cost has been written down.
    `upstream_request_id` and `timing_ms` are of its creation.
    """

    id: str
    owner: str
    requests: int
    shares: tuple[BatchShare, ...]
    upstream_request_id: str | None
    timing_ms: Mapping[str, float]
    created_at: datetime
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """USD by kind of token. `images_usd` is a part of the input cost, not an addition to it."""

    input_usd: Decimal
    cache_write_usd: Decimal
    cache_read_usd: Decimal
    output_usd: Decimal
    web_search_usd: Decimal
    images_usd: Decimal

    def __add__(self, other: "Cost") -> "Cost":
        """Both together."""
        return Cost(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))

    @property
    def total_usd(self) -> Decimal:
        """What was billed."""
        return self.input_usd + self.cache_write_usd + self.cache_read_usd + self.output_usd + self.web_search_usd
