"""Every figure of the service by name, unit and label: what is counted, and nothing of how it comes about.

No label holds a key, an id, or anything a client can make up: the number of series is bounded.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from app.admission import Admission
from app.observe.shared_values import exposition_of_all, folder_of_all

MemoryUse: TypeAlias = Literal["receiving", "sending", "decoding"]
"""What there is a budget of memory for."""

disable_created_metrics()  # a second series for each counter, which the other processes would not have

_STEP_BUCKETS_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640),
)
"""From a read of memory to the longest answer that is waited for."""

_REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)


class Metrics:
    """The figures of this process, or, where several share a folder, of all of them.

    In several processes prometheus-client keeps values by name for the whole process: one of these is enough.
    """

    def __init__(self) -> None:
        """All at zero."""
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "vision_proxy_requests", "Requests answered.", ["endpoint", "method", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "vision_proxy_request_seconds",
            "From the head of a request to the last byte of its answer.",
            ["endpoint"],
            buckets=_REQUEST_BUCKETS_S,
            registry=registry,
        )
        self.step_seconds = Histogram(
            "vision_proxy_step_seconds",
            "What each step of a request took.",
            ["step"],
            buckets=_STEP_BUCKETS_S,
            registry=registry,
        )
        self.refusals = Counter(
            "vision_proxy_refusals",
            "Requests that ended in an error, by error_code.",
            ["error_code"],
            registry=registry,
        )
        self.body_bytes = Counter(
            "vision_proxy_body_bytes",
            "Bytes of bodies of requests (in) and answers (out).",
            ["direction"],
            registry=registry,
        )
        self.images = Counter("vision_proxy_images", "Pictures of requests.", ["format", "outcome"], registry=registry)
        self.megapixels = Counter(
            "vision_proxy_megapixels", "Million pixels of pictures as received.", ["format"], registry=registry
        )
        self.image_bytes = Counter(
            "vision_proxy_image_bytes", "Bytes of pictures as received and as sent.", ["direction"], registry=registry
        )
        self.tokens = Counter("vision_proxy_tokens", "Tokens billed.", ["model", "kind"], registry=registry)
        self.cost_usd = Counter("vision_proxy_cost_usd", "US dollars billed.", ["model"], registry=registry)
        self.settlements = Counter(
            "vision_proxy_ledger_entries", "Requests by how they ended in the ledger.", ["state"], registry=registry
        )
        self.unpriced = Counter(
            "vision_proxy_unpriced_requests", "Requests billed whose price is not known.", ["model"], registry=registry
        )
        self.upstream_errors = Counter(
            "vision_proxy_upstream_errors",
            "Calls that ended in an error, retries included, by the status told.",
            ["status"],
            registry=registry,
        )
        self.upstream_retries = Counter(
            "vision_proxy_upstream_retries",
            "Attempts repeated, by the status that was the reason.",
            ["status"],
            registry=registry,
        )
        self.memory_budget_bytes = _gauge(
            "vision_proxy_memory_budget_bytes", "Most memory that may be given out.", registry, "use"
        )
        self.memory_in_use_bytes = _gauge(
            "vision_proxy_memory_in_use_bytes", "Memory given out of a budget.", registry, "use"
        )
        self.memory_waiting = _gauge("vision_proxy_memory_waiting", "Who waits for memory.", registry, "use")
        self.memory_refused = Counter(
            "vision_proxy_memory_refused", "Who waited for memory for too long.", ["use"], registry=registry
        )
        self.starts = Counter("vision_proxy_server_starts", "Server processes started.", registry=registry)
        self.processes = _gauge("vision_proxy_server_processes", "Server processes alive.", registry)
        self._watched: list[_Watched] = []

    def begin(self) -> None:
        """This process serves from now on."""
        self.starts.inc()
        self.processes.set(1)

    def watch_gauges(self, help_text: str, gauges: Mapping[str, Callable[[], float]]) -> None:
        """Gauges of those names, looked at again and again; `help_text` says what they have in common."""
        for name, read in gauges.items():
            gauge = _gauge(f"vision_proxy_{name}", help_text, self._registry)
            self._watched.append(_Watched(read, gauge.set, rises=False))

    def watch_counter(self, name: str, help_text: str, label: str, counts: Mapping[str, Callable[[], float]]) -> None:
        """A counter of that name, whose values, by `label`, are looked at again and again."""
        counter = Counter(f"vision_proxy_{name}", help_text, [label], registry=self._registry)
        self._watched += [_Watched(read, counter.labels(value).inc, rises=True) for value, read in counts.items()]

    def watch_memory(self, use: MemoryUse, admission: Admission) -> None:
        """A budget of memory, looked at again and again."""
        self.memory_budget_bytes.labels(use).set(admission.budget_bytes)
        self._watched += [
            _Watched(lambda: admission.in_use_bytes, self.memory_in_use_bytes.labels(use).set, rises=False),
            _Watched(lambda: admission.waiting, self.memory_waiting.labels(use).set, rises=False),
            _Watched(lambda: admission.refused, self.memory_refused.labels(use).inc, rises=True),
        ]

    def look(self) -> None:
        """Note what is watched as it is now; on the thread that changes it."""
        for watched in self._watched:
            watched.look()

    def exposition(self) -> bytes:
        """The figures as Prometheus reads them. Adding up those of many processes takes milliseconds."""
        folder = folder_of_all(os.environ)
        return generate_latest(self._registry) if folder is None else exposition_of_all(folder)


@dataclass(slots=True)
class _Watched:
    """A value, and what is told of it: as it is, or by how much it has risen."""

    read: Callable[[], float]
    tell: Callable[[float], None]
    rises: bool
    last: float = 0.0

    def look(self) -> None:
        value = self.read()
        if value != self.last or not self.rises:
            self.tell(value - self.last if self.rises else value)
            self.last = value


def _gauge(name: str, help_text: str, registry: CollectorRegistry, *labels: str) -> Gauge:
    """A gauge that is the sum over living processes."""
    return Gauge(name, help_text, labels, registry=registry, multiprocess_mode="livesum")
