"""What the pipeline gives back: the report of each picture, the priced answer, the estimate."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from app.domain import Cost, ImageSource, Json, MediaType, Model, Notice, Page, Part, Size, Usage
from app.ledger import RateLimit


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A picture file: what it is, its upright size, its digest."""

    media_type: str
    size: Size
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What became of one picture. `index` counts from 1; `tokens` is the vendor's rule applied to what was sent."""

    index: int
    label: str | None
    name: str | None
    source: ImageSource
    original: FileFacts
    sent: FileFacts
    seen: Size
    """The size at which the model sees it: that of `sent`, or smaller where the vendor scales it down."""
    via: Literal["base64", "file"]
    operations: tuple[str, ...]
    tokens: int
    notices: tuple[Notice, ...]
    part: Part | None = None

    @property
    def scale_x(self) -> float:
        """Turns an x that Claude gives into pixels of the original, or of its tile, or into points of its page."""
        return self._extent[0] / self.seen.width_px

    @property
    def scale_y(self) -> float:
        """Turns a y that Claude gives into one of the original, as `scale_x`; pages are measured from their top."""
        return self._extent[1] / self.seen.height_px

    @property
    def _extent(self) -> tuple[float, float]:
        if isinstance(self.part, Page):
            return self.part.width_pt, self.part.height_pt
        return self.original.size if self.part is None else self.part.size


@dataclass(frozen=True, slots=True)
class SentImage:
    """The bytes that go to Claude, and their report."""

    data: bytes
    media_type: MediaType
    report: ImageReport
    file_id: str | None = None
    """The vendor's id, where the bytes went there as a file."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Claude's answer with what it cost. `cost` is None where the model has no known price."""

    id: str
    model: str
    text: str
    content: tuple[Json, ...]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: Json
    sandbox: bool
    images: tuple[ImageReport, ...]
    usage: Usage
    cost: Cost | None
    prices_as_of: date
    timing_ms: Mapping[str, float]
    notices: tuple[Notice, ...]
    rate_limits: tuple[RateLimit, ...]
    upstream_request_id: str | None


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """Input tokens before the call. `counted_by` says whether the vendor counted them or this service guessed."""

    image: int
    text: int
    total: int
    counted_by: Literal["estimate", "vendor"]


@dataclass(frozen=True, slots=True)
class ModelEstimate:
    """What the same request would cost on one model."""

    model: Model
    tokens: TokenEstimate
    input_usd: Decimal | None
    upper_bound_usd: Decimal | None
    images_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What would be sent and what it would cost, on the model asked for and, where asked, on all others."""

    images: tuple[ImageReport, ...]
    chosen: ModelEstimate
    compared: tuple[ModelEstimate, ...] | None
    prices_as_of: date
    timing_ms: Mapping[str, float]
    notices: tuple[Notice, ...]
