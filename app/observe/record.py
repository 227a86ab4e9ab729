"""What is known of the request at hand: one record, filled in while it is answered, told once when it has ended."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal

from app.observe.tracing import RequestTrace


@dataclass(slots=True)
class RequestRecord:
    """One request. Whatever works on it, tasks and threads of its own included, finds it by `current`."""

    request_id: str
    method: str
    started_s: float
    trace: RequestTrace | None
    route: str | None = None
    status: int | None = None
    complete: bool = False
    bytes_in: int = 0
    bytes_out: int = 0
    steps_s: dict[str, float] = field(default_factory=dict[str, float])
    key_id: str | None = None
    key_name: str | None = None
    model: str | None = None
    images: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict[str, int])
    cost_usd: Decimal | None = None
    state: str | None = None
    error_code: str | None = None
    upstream_request_id: str | None = None

    def fields(self, total_s: float) -> dict[str, object]:
        """Its one line in the log; what is not known is left out."""
        told: dict[str, object | None] = {
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "complete": self.complete,
            "total_ms": round(total_s * 1000, 1),
            "steps_ms": {name: round(spent_s * 1000, 1) for name, spent_s in self.steps_s.items()} or None,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "images": self.images or None,
            "model": self.model,
            "tokens": dict(self.tokens) or None,
            "cost_usd": None if self.cost_usd is None else format(self.cost_usd.normalize(), "f"),
            "ledger": self.state,
            "error_code": self.error_code,
            "key_id": self.key_id,
            "key_name": self.key_name,
            "upstream_request_id": self.upstream_request_id,
        }
        return {name: value for name, value in told.items() if value is not None}


current: ContextVar[RequestRecord | None] = ContextVar("the request at hand", default=None)
