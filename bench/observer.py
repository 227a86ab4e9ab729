"""What figures, and a line in the log, add to one request: the calls that a request makes, and nothing else."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median

from app.domain import STANDARD_TIER, Caller, Model, Spender
from app.observe import Observer, Step
from app.observe.logs import JsonLines
from app.observe.metrics import Metrics
from app.observe.shared_values import shared_folder
from app.observe.tracing import Tracing

REQUESTS, ROUNDS = 2_000, 9
STEPS: tuple[Step, ...] = (
    *("authenticate", "receive", "parse", "collect", "plan", "reserve"),
    *("normalize", "upstream", "price", "settle"),
)
MODEL = Model("claude-sonnet-5-5", STANDARD_TIER, 200_000, 64_000, 100)
CALLER = Caller(
    "an app", "key_0123456789abcdef01234567", admin=False, spenders=(Spender("key_0123456789abcdef01234567"),)
)
HEADERS: Mapping[bytes, bytes] = {b"x-api-key": b"k", b"content-type": b"application/json"}


@dataclass(frozen=True)
class Outcome:
    """What a usual request comes to."""

    state: str = "settled"
    images: int = 1
    usage: Mapping[str, int] = field(default_factory=lambda: {"input_tokens": 1430, "output_tokens": 87})
    cost_usd: Decimal = Decimal("0.00373")
    upstream_request_id: str = "req_sandbox_2b1f878f4e95d89374fcace9"


def one_request(observer: Observer, outcome: Outcome) -> None:
    record = observer.begin("req_0ccc60c54c60fd73312ccf4a", "POST", HEADERS)
    for step in STEPS:
        with observer.step(step):
            pass
    observer.queued(0.0)
    observer.authenticated(CALLER)
    observer.image("image/jpeg", "prepared", 12_000_000, 3_000_000, 600_000)
    observer.settled(MODEL, outcome)
    record.route, record.status, record.complete = "/v1/analyze", 200, True
    observer.end(record)


def measure() -> float:
    """Median over rounds of the microseconds of processor time of one request."""
    observer, outcome = Observer(Metrics(), Tracing("off")), Outcome()
    rounds: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(REQUESTS):
            one_request(observer, outcome)
        rounds.append((time.process_time() - began) / REQUESTS * 1e6)
    return median(rounds)


def main() -> None:
    handler = logging.StreamHandler(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("app.requests")
    logger.propagate = False
    found: dict[str, float] = {}
    for level, lines in (("WARNING", "without a line"), ("INFO", "with a line in the log")):
        logger.handlers = [handler]
        logger.setLevel(level)
        found[lines] = round(measure(), 1)
    print(json.dumps({"values": "shared" if "--shared" in sys.argv else "own", "us_per_request": found}))


if __name__ == "__main__":
    if "--shared" in sys.argv and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        with shared_folder(os.environ):
            subprocess.run([sys.executable, *sys.argv], check=True)
    else:
        main()
