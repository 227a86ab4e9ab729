"""The results of a batch: the cost put into each line as it passes, and the sums that settle the batch at their end."""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

import anyio
import msgspec
from anyio import to_thread

from app.domain import BatchShare, Json, StoredBatch, Usage
from app.errors import AppError
from app.ledger import Settlement
from app.pipeline.batch_costing import settle_share
from app.pipeline.billing import cost_of, read_bill
from app.pipeline.crowded_json import JsonObject
from app.pipeline.json_text import decode_any, decode_json
from app.pipeline.ports import Services

_LARGE_BYTES = 262_144
"""From this size on JSON is parsed in a thread; less is done sooner than a thread begins."""

_MAX_LINE_BYTES = 64_000_000
_GOOD = 200
_WITHOUT_COST = ("errored", "canceled", "expired")
"""Results that are not billed.

Source: https://platform.claude.com/docs/en/build-with-claude/batch-processing, seen 2026-08-22.
"""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Billed:
    """What the answers of one model came to. `cost_usd` is None while no price of any of them is known."""

    usage: Usage = field(default_factory=dict[str, Json])
    cost_usd: Decimal | None = None


@dataclass(slots=True)
class BatchBill:
    """What the lines of results that have been read came to, by the model that answered; `results` are how many."""

    results: int = 0
    models: dict[str, Billed] = field(default_factory=dict[str, Billed])

    def add(self, line: "_Line") -> None:
        """Add what one line says."""
        self.results += line.is_result
        if line.usage is not None:
            billed = self.models.setdefault(line.model, Billed())
            billed.usage = added(billed.usage, line.usage)
            if line.cost_usd is not None:
                billed.cost_usd = (billed.cost_usd or Decimal(0)) + line.cost_usd


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as it goes on; `usage` is None where it holds no answer."""

    content: bytes
    is_result: bool = False
    model: str = ""
    usage: Usage | None = None
    cost_usd: Decimal | None = None


async def results_with_cost(
    chunks: AsyncIterator[bytes], at: datetime, bill: BatchBill, services: Services
) -> AsyncIterator[bytes]:
    """The lines of a batch's results as they come, each answer with `usage.cost`; any other line as its bytes.

    Prices are the batch prices of that instant. Each line is in the `bill` before it is given.

    Raises:
        UpstreamError: the results broke off; the part of a line that came last is not given.
    """
    async for content in _whole_lines(chunks):
        if len(content) > _LARGE_BYTES:
            line = await to_thread.run_sync(_priced, content, at, services)
        else:
            line = _priced(content, at, services)
        bill.add(line)
        yield line.content


async def settle_batch(batch: StoredBatch, bill: BatchBill, services: Services) -> None:
    """Write down what the batch did cost: every share once, however often it is asked for.

    Nothing, where there are fewer results than requests: what is missing may have cost something.
    """
    if bill.results < batch.requests:
        _log.warning("batch %s has %d results of %d: it is not settled", batch.id, bill.results, batch.requests)
        return
    shared = _by_share(batch.shares, bill)
    with anyio.CancelScope(shield=True):
        for share in batch.shares:
            await settle_share(share, _settlement(batch, share, shared), services)
        if batch.settled_at is None:
            await services.batches.mark_settled(batch.id, services.clock.now())


async def give_up_batch(batch: StoredBatch, services: Services) -> None:
    """Write down that nobody will ever know what the batch did cost; nothing, where it is known."""
    with anyio.CancelScope(shield=True):
        for share in batch.shares:
            await settle_share(share, replace(_settlement(batch, share, {}), state="unknown"), services)


def added(one: Usage, other: Usage) -> dict[str, Json]:
    """Both usages as one: counts added up, at any depth; of what is no count the first stays."""
    total = dict(one)
    for name, value in other.items():
        before = total.get(name)
        if before is None:
            total[name] = value
        elif type(before) is int and type(value) is int:  # true is an int to Python
            total[name] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            total[name] = added(before, value)
    return total


def _by_share(shares: Sequence[BatchShare], bill: BatchBill) -> dict[str, Billed]:
    """What each share came to, by its reservation; shares without an answer are left out."""
    found: dict[str, Billed] = {}
    for model, billed in bill.models.items():
        share = _share_of(model, shares)
        if share is not None:
            whole = found.setdefault(share.reservation_id, Billed())
            whole.usage = added(whole.usage, billed.usage)
            if billed.cost_usd is not None:
                whole.cost_usd = (whole.cost_usd or Decimal(0)) + billed.cost_usd
    return found


def _share_of(model: str, shares: Sequence[BatchShare]) -> BatchShare | None:
    """The share of the requests that the model answered.

    A request may name a model without its date, and the answer with it. What fits nowhere goes to the first share, so
    that no cost is lost.
    """
    for share in shares:
        if share.model == model:
            return share
    for share in shares:
        if model.startswith(share.model) or share.model.startswith(model):
            return share
    return shares[0] if shares else None


def _settlement(batch: StoredBatch, share: BatchShare, shared: dict[str, Billed]) -> Settlement:
    billed = shared.get(share.reservation_id)
    return Settlement(
        state="released" if billed is None else "settled",
        status=_GOOD,
        cost_usd=None if billed is None else billed.cost_usd,
        usage={} if billed is None else billed.usage,
        upstream_request_id=batch.upstream_request_id,
        images=share.images,
        bytes_before=share.bytes_before,
        bytes_after=share.bytes_after,
        timing_ms=batch.timing_ms,
    )


async def _whole_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each line with its end, the last one as it came; one that is far too long in pieces."""
    pending: list[bytes] = []
    pending_bytes = 0
    async for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            yield b"".join((*pending, piece, b"\n"))
            pending, pending_bytes = [], 0
        pending.append(rest)
        pending_bytes += len(rest)
        if pending_bytes > _MAX_LINE_BYTES:
            yield b"".join(pending)
            pending, pending_bytes = [], 0
    if pending_bytes:
        yield b"".join(pending)


def _priced(content: bytes, at: datetime, services: Services) -> _Line:
    """A line of results with `usage.cost` where it holds an answer, every other member as it was spelt."""
    try:
        members = decode_json(content, JsonObject, "a line of results must be an object")
        result = decode_json(members["result"], JsonObject, "a result must be an object")
        kind = decode_any(result["type"], "type must be JSON")
        if kind != "succeeded":
            return _Line(content, is_result=kind in _WITHOUT_COST)
        message = decode_json(result["message"], JsonObject, "a message must be an object")
        usage = decode_json(message["usage"], JsonObject, "usage must be an object")
    except (AppError, KeyError):
        return _Line(content)
    bill = read_bill(result["message"])
    if bill is None:
        return _Line(content)
    billed: Usage = dict(bill["usage"])
    bill["usage"]["service_tier"] = "batch"
    cost = cost_of(bill, "", 0, services, at)
    usage["cost"] = msgspec.Raw(msgspec.json.encode(None if cost is None else float(round(cost.total_usd, 9))))
    message["usage"] = msgspec.Raw(msgspec.json.encode(usage))
    result["message"] = msgspec.Raw(msgspec.json.encode(message))
    members["result"] = msgspec.Raw(msgspec.json.encode(result))
    model = bill["model"] or ""
    total = None if cost is None else cost.total_usd
    return _Line(msgspec.json.encode(members) + b"\n", is_result=True, model=model, usage=billed, cost_usd=total)
