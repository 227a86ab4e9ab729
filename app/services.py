"""Builds every capability from the settings and closes them in reverse: the one place where parts are chosen."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from pydantic import SecretStr

from app.access.opening import open_keyring
from app.batches import BatchStore
from app.cache import BoundedCache
from app.catalog import load_catalog
from app.database.sql import open_database
from app.fetch import Fetcher, FetchLimits
from app.files import FileStore
from app.imaging.jobs import JobLimits
from app.imaging.limits import SourceLimits
from app.imaging.plan import ImagePlan
from app.imaging.pool import LOSSES, ImagePool, PoolLimits, open_pool
from app.imaging.prepared import PreparedImage
from app.ledger import Ledger, open_ledger
from app.observe import Observer
from app.observe.metrics import Metrics
from app.observe.tracing import Tracing
from app.pipeline import Services
from app.pipeline.ports import Clock
from app.pricing import price, rates
from app.schemas import open_judge
from app.settings import Settings
from app.upstream import ClaudeUpstream, RetryPolicy


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The instant, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only go up."""
        return time.monotonic()


@asynccontextmanager
async def open_services(
    settings: Settings, clock: Clock | None = None, observer: Observer | None = None
) -> AsyncGenerator[Services]:
    """Every capability, ready; closed on exit. Without a clock it is the machine's."""
    clock = clock or SystemClock()
    observer = observer or make_observer(settings)
    upstream = ClaudeUpstream.connect(
        api_key=_plain(settings.anthropic_api_key),
        auth_token=_plain(settings.anthropic_auth_token),
        base_url=settings.anthropic_base_url,
        retries=RetryPolicy(
            settings.upstream_max_retries,
            settings.upstream_timeout_s,
            settings.upstream_max_retry_wait_s,
            observer.upstream_retried,
        ),
        idle_timeout_s=settings.upstream_idle_timeout_s,
        failed=observer.upstream_failed,
    )
    fetcher = Fetcher(FetchLimits(max_bytes=settings.max_image_bytes, timeout_s=settings.url_timeout_s))
    async with AsyncExitStack() as opened:
        opened.push_async_callback(upstream.close)
        opened.push_async_callback(fetcher.close)
        imaging = await opened.enter_async_context(
            open_pool(_pool_limits(settings), _source_limits(settings), observer.queued)
        )
        schemas = await opened.enter_async_context(open_judge(settings.schema_timeout_s))
        database = await opened.enter_async_context(open_database(settings.database_url))
        ledger = await opened.enter_async_context(open_ledger(database, clock, new_id("in_")))
        prepared = BoundedCache[tuple[str, ImagePlan], PreparedImage](
            settings.image_cache_bytes, lambda image: len(image.data)
        )
        _watch(observer.metrics, imaging, prepared, ledger)
        importing = asyncio.create_task(upstream.client())  # the SDK takes long to import; health is answered meanwhile
        opened.push_async_callback(asyncio.wait, [importing])
        yield Services(
            access=await open_keyring(
                database,
                clock,
                secret=_plain(settings.key_secret),
                admin_key=_plain(settings.admin_key),
                open_without_keys=settings.on_loopback,
            ),
            batches=BatchStore(database),
            catalog=load_catalog(),
            fetcher=fetcher,
            files=FileStore(database),
            imaging=imaging,
            prepared=prepared,
            image_concurrency=settings.image_worker_count,
            ledger=ledger,
            upstream=upstream,
            price=price,
            rates=rates,
            schemas=schemas,
            clock=clock,
            observer=observer,
            new_id=new_id,
            sandbox=settings.sandbox,
        )


def make_observer(settings: Settings) -> Observer:
    """What tells operators of this process; to be closed by `Observer.close`."""
    return Observer(Metrics(), Tracing(settings.traces))


def _watch(
    metrics: Metrics, imaging: ImagePool, prepared: BoundedCache[tuple[str, ImagePlan], PreparedImage], ledger: Ledger
) -> None:
    """Name the figures that capabilities keep of themselves; to add one, add a line."""
    metrics.watch_gauges(
        "Image workers.",
        {
            "image_workers": lambda: imaging.workers,
            "image_workers_busy": lambda: imaging.admission.taken,
        },
    )
    metrics.watch_memory("decoding", imaging.admission)
    metrics.watch_gauges(
        "Pixels, as received, of pictures being prepared or waiting for it.",
        {"pixels_in_flight": lambda: imaging.pixels_in_flight},
    )
    metrics.watch_counter(
        "image_workers_lost",
        "Image workers that did not end by their own will, each replaced.",
        "cause",
        {cause: partial(imaging.losses.__getitem__, cause) for cause in LOSSES},
    )
    metrics.watch_gauges(
        "Prepared pictures kept in memory.",
        {"image_cache_bytes": lambda: prepared.held_bytes, "image_cache_entries": lambda: len(prepared)},
    )
    metrics.watch_counter(
        "image_cache_lookups",
        "Pictures looked for among the prepared ones.",
        "result",
        {"hit": lambda: prepared.hits, "miss": lambda: prepared.misses},
    )
    metrics.watch_gauges("Settlements that wait for the database.", {"ledger_owed": lambda: ledger.owed})
    metrics.watch_counter(
        "ledger_swept",
        "Requests of processes that died, whose cost nobody knows.",
        "state",
        {"unknown": lambda: ledger.swept},
    )


def _source_limits(settings: Settings) -> SourceLimits:
    return SourceLimits(
        max_pixels=settings.max_image_pixels,
        max_jpeg_pixels=settings.max_jpeg_pixels,
        max_side_px=settings.max_image_side_px,
        max_aspect=settings.max_image_aspect,
        max_frames=settings.max_image_frames,
        max_jpeg_scans=settings.max_jpeg_scans,
    )


def _pool_limits(settings: Settings) -> PoolLimits:
    return PoolLimits(
        workers=settings.image_worker_count,
        budget_bytes=settings.image_memory_budget_bytes,
        max_decode_bytes=settings.max_decode_bytes,
        max_address_space_bytes=settings.image_worker_max_bytes,
        queue_timeout_s=settings.image_queue_timeout_s,
        job=JobLimits(cpu_s=settings.image_cpu_s, wall_s=settings.image_timeout_s),
    )


def new_id(prefix: str) -> str:
    """A fresh id that nobody can guess."""
    return prefix + secrets.token_hex(12)


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
