"""create_app(settings): routers, middleware, error shape and lifespan put together."""

import ctypes
import gc
import logging
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app.admission import Admission
from app.observe.metrics import Metrics
from app.observe.redaction import hide
from app.pipeline import Key, Observer, Services
from app.pipeline.ports import Clock
from app.services import make_observer, new_id, open_services
from app.settings import Settings, load_settings
from app.web import (
    analyze,
    batches,
    estimate,
    extract,
    files,
    keys,
    locate,
    messages,
    models,
    normalize,
    operations,
    pages,
    tokens,
    usage,
)
from app.web.cross_origin import add_cors
from app.web.documentation import DESCRIPTION
from app.web.draining import Drain, Draining, on_signals
from app.web.errors import add_error_handlers
from app.web.gate import Gate, Pace, Rooms
from app.web.middleware import Marks
from app.web.observing import Observed

_TRIM_INTERVAL_S = 10.0
_LOOK_INTERVAL_S = 1.0

_log = logging.getLogger(__name__)


def create_app(settings: Settings, clock: Clock | None = None) -> FastAPI:
    """The service, to be run by an ASGI server. /docs works without reaching another host."""
    app = FastAPIOffline(
        title="vision-proxy",
        version="0.1.0",
        description=DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name whatever host the client claims
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.clock = clock
    observer = app.state.observer = make_observer(settings)
    hide(*settings.secrets)
    native = (analyze, extract, locate, estimate, normalize)
    for module in (*native, messages, batches, models, files, keys, tokens, usage, operations, pages):
        app.include_router(module.router)
    add_error_handlers(app)
    app.state.gate = _gate(settings)
    app.state.drain = Drain(settings.drain_delay_s, settings.drain_timeout_s)
    app.add_middleware(Rooms, gate=app.state.gate, observer=observer)
    app.add_middleware(Draining, drain=app.state.drain, observer=observer)
    app.add_middleware(Marks, observer=observer, sandbox=settings.sandbox)
    if settings.allowed_origins:
        add_cors(app, settings.allowed_origins)
    app.add_middleware(Observed, new_id=new_id, observer=observer)
    _watch(observer.metrics, app.state.gate, app.state.drain)
    return app


def _gate(settings: Settings) -> Gate:
    """The budgets of this process, which nobody has taken of yet."""
    timeout_s = settings.admission_timeout_s
    return Gate(
        receiving=Admission(settings.body_memory_budget_bytes, timeout_s),
        sending=Admission(settings.sending_memory_budget_bytes, timeout_s),
        pace=Pace(settings.body_grace_s, settings.body_least_bytes_per_s),
    )


def _watch(metrics: Metrics, gate: Gate, drain: Drain) -> None:
    """Name the figures that the way in keeps of itself."""
    metrics.watch_memory("receiving", gate.receiving)
    metrics.watch_memory("sending", gate.sending)
    metrics.watch_gauges(
        "Requests not yet answered to the end, probes aside.", {"requests_in_progress": lambda: drain.in_progress}
    )
    metrics.watch_gauges(
        "Server processes told to stop that have not ended.", {"server_processes_draining": lambda: drain.begun}
    )


def create_app_from_environment() -> FastAPI:
    """The service with the settings of the environment; what uvicorn calls in each worker."""
    app = create_app(load_settings())
    _keep_for_good()
    return app


async def _return_freed_memory() -> None:
    """Have glibc give back to the machine what has been freed, again and again; without it the busiest moment stays.

    Lower thresholds of mallopt(3) would do it at once, at half as much again for each request of 14 MB (measured).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await anyio.sleep(_TRIM_INTERVAL_S)
        await to_thread.run_sync(trim, 0)


def _keep_for_good() -> None:
    """Have the collector of garbage pass over all that there is by now, which stays to the end.

    Else each of its full rounds looks at every object of the program, and holds up everybody for 150 ms (measured).
    """
    gc.collect()
    gc.freeze()


async def _warm_up(services: Services) -> None:
    """Have the SDK loaded, which takes half a second of everybody's, before the first request waits for it."""
    try:
        await services.upstream.warm_up()
    except Exception:  # noqa: BLE001 - whatever it is, the rest of the service can be used
        _log.exception("no client of the Claude API can be made; requests will get the same")


async def _look_again_and_again(observer: Observer) -> None:
    """Have the figures of this process where the others find them, should they be asked."""
    while True:
        observer.metrics.look()
        await anyio.sleep(_LOOK_INTERVAL_S)


async def _tell_of_keys(services: Services, settings: Settings) -> None:
    """Say who is served; where others can reach a service without keys, make one and show it this once."""
    if await services.access.is_open():
        _log.warning("no key is configured: every caller that reaches %s is served", settings.host)
    if settings.on_loopback:
        return
    first = Key(services.new_id("key_"), "first admin", services.clock.now(), admin=True)
    made = await services.access.create_first(first)
    if made is not None:
        sys.stderr.write(f"vision-proxy: there was no key; the first, an admin's, shown this once, is {made.secret}\n")
        sys.stderr.flush()


async def _leave(drain: Drain, hand_on: Callable[[], None]) -> None:
    """Let the server end once nothing is left to do."""
    await drain.done()
    hand_on()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    settings: Settings = app.state.settings
    if settings.sandbox:
        _log.warning("SANDBOX: no ANTHROPIC_API_KEY is set; answers are measured, not understood; no money is spent")
    observer: Observer = app.state.observer
    try:
        async with open_services(settings, app.state.clock, observer) as services, anyio.create_task_group() as tasks:
            await _tell_of_keys(services, settings)
            tasks.start_soon(_return_freed_memory)
            tasks.start_soon(_look_again_and_again, observer)
            tasks.start_soon(_warm_up, services)
            observer.metrics.begin()
            app.state.services = services
            with on_signals(app.state.drain) as hand_on:
                tasks.start_soon(_leave, app.state.drain, hand_on)
                yield
            app.state.services = None
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(observer.close)
