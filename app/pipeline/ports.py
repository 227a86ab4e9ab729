"""What the main path needs from the outside, as the main path would have it; `app.services` fills it in."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from app.access.keyring import Credentials, NewKey
from app.access.keys import Key
from app.domain import Caller, Cost, Model, Page, StoredBatch, StoredFile, Usage
from app.errors import ImageError
from app.imaging.plan import ImagePlan
from app.imaging.prepared import PreparedImage
from app.imaging.probe import ImageFacts
from app.ledger import Claim, EntryState, GroupBy, RateLimit, Reservation, Settlement, UsageReport, WireAnswer
from app.ledger import Page as LedgerPage
from app.observe import Observer
from app.pricing import Rates
from app.schemas import Reading, Verdict
from app.upstream.calls import Call, Reply
from app.upstream.event_stream import EventStream


class Access(Protocol):
    """Knows who holds which key, and what keys there are."""

    async def authenticate(self, sent: Credentials) -> Caller: ...  # noqa: D102 - see app.access, as for every port
    async def is_open(self) -> bool: ...  # noqa: D102
    async def all(self) -> list[Key]: ...  # noqa: D102
    async def get(self, key_id: str) -> Key: ...  # noqa: D102
    async def create(self, key: Key) -> NewKey: ...  # noqa: D102
    async def create_token(self, token: Key) -> NewKey: ...  # noqa: D102
    async def create_first(self, key: Key) -> NewKey | None: ...  # noqa: D102
    async def change(self, key_id: str, apply: Callable[[Key], Key]) -> Key: ...  # noqa: D102
    async def revoke(self, key_id: str) -> Key: ...  # noqa: D102


class Catalog(Protocol):
    """Knows the models."""

    def find(self, model_id: str) -> Model: ...  # noqa: D102
    def all(self) -> tuple[Model, ...]: ...  # noqa: D102


class Imaging(Protocol):
    """Reads headers and works on pixels, off the event loop."""

    async def probe(self, pictures: Sequence[bytes]) -> list[ImageFacts | ImageError]: ...  # noqa: D102
    async def digests(self, pictures: Sequence[bytes]) -> list[str]: ...  # noqa: D102
    async def prepare(self, data: bytes, facts: ImageFacts, plan: ImagePlan) -> PreparedImage: ...  # noqa: D102
    async def measure_pages(self, data: bytes) -> list[Page]: ...  # noqa: D102
    async def ready(self) -> bool: ...  # noqa: D102


class Prepared(Protocol):
    """Remembers prepared pictures by the digest of their source and their plan."""

    async def get_or_make(  # noqa: D102
        self, key: tuple[str, ImagePlan], make: Callable[[], Awaitable[PreparedImage]]
    ) -> PreparedImage: ...


class Fetched(Protocol):
    """A download: its bytes, and what the server called them."""

    @property
    def data(self) -> bytes: ...  # noqa: D102
    @property
    def media_type(self) -> str | None: ...  # noqa: D102


class Fetcher(Protocol):
    """Downloads pictures by URL, guarded."""

    async def fetch(self, url: str) -> Fetched: ...  # noqa: D102


class Files(Protocol):
    """Knows which of the vendor's files are whose."""

    async def add(self, file: StoredFile) -> None: ...  # noqa: D102
    async def find(self, owner: str, ids: Sequence[str]) -> Mapping[str, StoredFile]: ...  # noqa: D102
    async def page(self, owner: str, limit: int, before: str | None) -> list[StoredFile]: ...  # noqa: D102
    async def remove(self, owner: str, file_id: str) -> None: ...  # noqa: D102


class Batches(Protocol):
    """Knows which of the vendor's batches are whose."""

    async def add(self, batch: StoredBatch) -> None: ...  # noqa: D102
    async def find(self, owner: str, batch_id: str) -> StoredBatch | None: ...  # noqa: D102
    async def newest(self, owner: str, limit: int, behind: StoredBatch | None) -> list[StoredBatch]: ...  # noqa: D102
    async def next_newer(self, owner: str, limit: int, before: StoredBatch) -> list[StoredBatch]: ...  # noqa: D102
    async def mark_settled(self, batch_id: str, at: datetime) -> None: ...  # noqa: D102
    async def remove(self, owner: str, batch_id: str) -> None: ...  # noqa: D102


class Ledger(Protocol):
    """Writes down what may be spent before it is, and what was afterwards."""

    async def reserve(self, *reservations: Reservation) -> tuple[RateLimit, ...]: ...  # noqa: D102
    async def settle(self, id: str, settlement: Settlement) -> bool: ...  # noqa: A002, D102 - as the ledger has it
    def behind(self, settling: Coroutine[Any, Any, object]) -> None: ...  # noqa: D102
    async def trouble(self) -> str | None: ...  # noqa: D102
    async def answer_kept(self, claim: Claim) -> WireAnswer | None: ...  # noqa: D102
    async def keep_answer(self, reservation_id: str, claim: Claim, answer: WireAnswer) -> None: ...  # noqa: D102
    async def usage(  # noqa: D102
        self,
        key_ids: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        group_by: GroupBy = "key",
    ) -> UsageReport: ...
    async def page(  # noqa: D102 - the filters of a report
        self,
        *,
        state: EntryState | None = None,
        key_ids: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> LedgerPage: ...


class Upstream(Protocol):
    """Speaks to the Claude API."""

    async def warm_up(self) -> None: ...  # noqa: D102
    async def send(self, call: Call) -> Reply: ...  # noqa: D102
    def stream(self, call: Call) -> AbstractAsyncContextManager[EventStream]: ...  # noqa: D102


class Price(Protocol):
    """Turns usage into money."""

    def __call__(self, model_id: str, usage: Usage, image_tokens: int, at: datetime) -> Cost | None: ...  # noqa: D102


class ModelRates(Protocol):
    """Knows what a model asks for."""

    def __call__(self, model_id: str, at: datetime, input_tokens: int = 0) -> Rates | None: ...  # noqa: D102


class Schemas(Protocol):
    """Checks JSON Schemas and reads answers by them, whatever they hold."""

    async def check(self, schema: str) -> Verdict: ...  # noqa: D102
    async def read(self, schema: str, text: str) -> Reading: ...  # noqa: D102


class Clock(Protocol):
    """Tells the time, as an instant in UTC and as seconds that only go up."""

    def now(self) -> datetime: ...  # noqa: D102
    def monotonic(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Services:
    """Every capability of one process. `new_id` gives a fresh id behind the prefix it is handed.

    `image_concurrency` is how many pictures of one request are prepared at a time: so many as there are workers, so
    that a request of hundreds takes turns with the others.
    """

    access: Access
    batches: Batches
    catalog: Catalog
    fetcher: Fetcher
    files: Files
    imaging: Imaging
    prepared: Prepared
    image_concurrency: int
    ledger: Ledger
    upstream: Upstream
    price: Price
    rates: ModelRates
    schemas: Schemas
    clock: Clock
    observer: Observer
    new_id: Callable[[str], str]
    sandbox: bool
