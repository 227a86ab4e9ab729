"""What the main path tells of a request, turned into figures, the spans of its trace, and its line in the log."""

import logging
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Literal, Protocol, TypeAlias, get_args

from app.domain import Caller, Json, Model, Usage
from app.errors import AppError, ErrorCode, UpstreamError
from app.observe.metrics import Metrics
from app.observe.record import RequestRecord, current
from app.observe.tracing import Tracing

Step: TypeAlias = Literal[
    "authenticate",
    "admit",
    "receive",
    "parse",
    "collect",
    "plan",
    "reserve",
    "queue",
    "normalize",
    "upstream",
    "stream",
    "price",
    "settle",
]
"""One step of the main path. Two are waits inside of others: `admit` for the memory of a body that is to be received or
sent, `queue` of one picture for a worker and for memory."""

ImageOutcome: TypeAlias = Literal["untouched", "prepared", "refused"]
"""What became of a picture: sent as it came, made anew (or recalled), or neither."""

OTHER_MODEL = "other"
"""The label of every model that the catalog does not list: a client can name any."""

_METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PATCH", "DELETE", "PUT"})
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines; when all is well they have no line in the log."""

_TOKEN_FIELDS: Mapping[str, str] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_creation": "cache_creation_input_tokens",
    "cache_read": "cache_read_input_tokens",
}

_CLOSED = 499
"""The client left before there was an answer."""

_ERROR = 400
_SERVER_ERROR = 500

_log = logging.getLogger("app.requests")


class Outcome(Protocol):
    """What a request came to, as the ledger has it."""

    @property
    def state(self) -> str: ...  # noqa: D102 - see app.ledger
    @property
    def images(self) -> int: ...  # noqa: D102
    @property
    def usage(self) -> Usage: ...  # noqa: D102
    @property
    def cost_usd(self) -> Decimal | None: ...  # noqa: D102
    @property
    def upstream_request_id(self) -> str | None: ...  # noqa: D102


class Observer:
    """One for each process. Whatever is told outside of a request counts in the figures alone."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        """`tracing` is closed by whoever closes this."""
        self.metrics = metrics
        self._tracing = tracing
        self._step_seconds = {step: metrics.step_seconds.labels(step) for step in get_args(Step)}
        for kind in ErrorCode:  # a series that is there from the start shows its first rise
            metrics.refusals.labels(kind.value)
        for state in ("settled", "released", "unknown"):
            metrics.settlements.labels(state)

    def begin(self, request_id: str, method: str, headers: Mapping[bytes, bytes]) -> RequestRecord:
        """The record of a request that has just come; from here on everything it does finds it."""
        record = RequestRecord(
            request_id, method if method in _METHODS else "other", time.monotonic(), self._tracing.begin(headers)
        )
        current.set(record)
        return record

    def end(self, record: RequestRecord) -> None:
        """Tell of a request that has been answered, or whose client has left."""
        total_s = time.monotonic() - record.started_s
        endpoint, metrics = record.route or "none", self.metrics
        metrics.requests.labels(endpoint, record.method, str(record.status or _CLOSED)).inc()
        metrics.request_seconds.labels(endpoint).observe(total_s)
        metrics.body_bytes.labels("in").inc(record.bytes_in)
        metrics.body_bytes.labels("out").inc(record.bytes_out)
        fields = record.fields(total_s)
        self._log(record, fields)
        if record.trace is not None:
            attributes = {key: value for key, value in fields.items() if isinstance(value, str | int | float)}
            attributes["request_id"] = record.request_id
            failed = (record.status or 0) >= _SERVER_ERROR
            record.trace.end(f"{record.method} {endpoint}", attributes, str(record.status) if failed else None)

    @contextmanager
    def step(self, name: Step) -> Generator[None]:
        """Measures what is done inside of it."""
        began_s = time.monotonic()
        error: BaseException | None = None
        try:
            yield
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._spent(name, time.monotonic() - began_s, error)

    def queued(self, waited_s: float) -> None:
        """A picture has waited so long for its turn."""
        self._spent("queue", waited_s, None)

    def authenticated(self, caller: Caller) -> None:
        """Who sends the request."""
        if (record := current.get()) is not None:
            record.key_id, record.key_name = caller.id, caller.name

    def refused(self, error: AppError) -> None:
        """The request is answered with that error."""
        self.metrics.refusals.labels(error.code.value).inc()
        if (record := current.get()) is not None:
            record.error_code = error.code.value
            if isinstance(error, UpstreamError):
                record.upstream_request_id = error.request_id

    def image(self, format_name: str, outcome: ImageOutcome, pixels: int, bytes_in: int, bytes_out: int) -> None:
        """What became of a picture; `format_name` is that of a decoder, sizes are 0 where they are not known."""
        self.metrics.images.labels(format_name, outcome).inc()
        if pixels:
            self.metrics.megapixels.labels(format_name).inc(pixels / 1e6)
        self.metrics.image_bytes.labels("received").inc(bytes_in)
        self.metrics.image_bytes.labels("sent").inc(bytes_out)

    def settled(self, model: Model, outcome: Outcome) -> None:
        """A request has ended in the ledger."""
        label, tokens = model.id if model.known else OTHER_MODEL, _tokens_of(outcome.usage)
        self.metrics.settlements.labels(outcome.state).inc()
        for kind, count in tokens.items():
            self.metrics.tokens.labels(label, kind).inc(count)
        if outcome.cost_usd is not None:
            self.metrics.cost_usd.labels(label).inc(float(outcome.cost_usd))
        elif outcome.usage:
            self.metrics.unpriced.labels(label).inc()
        if (record := current.get()) is not None:
            record.model, record.state, record.images = label, outcome.state, outcome.images
            record.tokens, record.cost_usd = tokens, outcome.cost_usd
            record.upstream_request_id = outcome.upstream_request_id

    def upstream_failed(self, status: int) -> None:
        """A call of the Claude API ended in an error, told by that status."""
        self.metrics.upstream_errors.labels(str(status)).inc()

    def upstream_retried(self, status: int) -> None:
        """A call is made again because of that status."""
        self.metrics.upstream_retries.labels(str(status)).inc()

    def close(self) -> None:
        """Send what traces are left; not on the event loop."""
        self._tracing.close()

    def _spent(self, name: Step, spent_s: float, error: BaseException | None) -> None:
        self._step_seconds[name].observe(spent_s)
        record = current.get()
        if record is None:
            return
        record.steps_s[name] = record.steps_s.get(name, 0.0) + spent_s
        if record.trace is not None:
            record.trace.step(name, spent_s, _name_of(error))

    def _log(self, record: RequestRecord, fields: Mapping[str, object]) -> None:
        quiet = record.route in _QUIET and (record.status or _SERVER_ERROR) < _ERROR
        level = logging.DEBUG if quiet else logging.INFO
        _log.log(level, "request", extra={"fields": fields})


def _tokens_of(usage: Usage) -> dict[str, int]:
    """The counts of a `usage` object by kind, without those that are absent, or are no counts."""
    counts: dict[str, Json] = {kind: usage.get(field) for kind, field in _TOKEN_FIELDS.items()}
    return {kind: count for kind, count in counts.items() if isinstance(count, int) and count > 0}


def _name_of(error: BaseException | None) -> str | None:
    """What a span says of an error: a code or a type, and none of its words."""
    if error is None:
        return None
    return error.code.value if isinstance(error, AppError) else type(error).__name__
