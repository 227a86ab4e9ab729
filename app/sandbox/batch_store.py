"""Batches of messages: their stages of life and their results, in the vendor's shape."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from app.domain import Json
from app.sandbox.clock import rfc3339
from app.sandbox.errors import not_found

LIFETIME = timedelta(hours=24)
"""How long a batch may take before what is left of it expires."""

RESULTS_LIFETIME = timedelta(days=29)
"""How long after its creation a batch has results.

Source of both: https://platform.claude.com/docs/en/build-with-claude/batch-processing, seen 2026-08-22.
"""

MAX_BATCHES = 1_000
MAX_KEPT_BYTES = 512_000_000
"""The sandbox's own choice, over all workspaces: the oldest batches are forgotten when another one comes."""

Kind: TypeAlias = Literal["processing", "succeeded", "errored", "canceled", "expired"]
"""What became of one request of a batch."""

KINDS: tuple[Kind, ...] = ("processing", "succeeded", "errored", "canceled", "expired")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request of a batch; `line` is its line of the results, empty while it is processing."""

    custom_id: str
    kind: Kind
    line: bytes = b""


def outcome_of(custom_id: str, kind: Kind, **fields: Json) -> Outcome:
    """What became of a request, `fields` being what its result has beside the type."""
    result: dict[str, Json] = {"type": kind, **fields}
    return Outcome(custom_id, kind, msgspec.json.encode({"custom_id": custom_id, "result": result}) + b"\n")


@dataclass(frozen=True)
class Batch:
    """A batch at one instant."""

    id: str
    created_at: datetime
    outcomes: tuple[Outcome, ...]
    ended_at: datetime | None = None
    cancel_initiated_at: datetime | None = None

    @property
    def expires_at(self) -> datetime:
        """When it ends at the latest."""
        return self.created_at + LIFETIME

    @cached_property
    def kept_bytes(self) -> int:
        """How long its results are."""
        return sum(len(outcome.line) for outcome in self.outcomes)

    def end(self, kind: Kind, now: datetime) -> "Batch":
        """The batch ended at that instant, what was still processing having become `kind`."""
        outcomes = tuple(
            outcome_of(outcome.custom_id, kind) if outcome.kind == "processing" else outcome
            for outcome in self.outcomes
        )
        return replace(self, outcomes=outcomes, ended_at=now)

    def has_results(self, now: datetime) -> bool:
        """Whether results can be read."""
        return self.ended_at is not None and not self._is_archived(now)

    def to_json(self, results_url: str, now: datetime) -> dict[str, Json]:
        """The batch as the vendor describes it."""
        kinds = Counter(outcome.kind for outcome in self.outcomes)
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self._status(),
            "request_counts": {kind: kinds[kind] for kind in KINDS},
            "created_at": rfc3339(self.created_at),
            "expires_at": rfc3339(self.expires_at),
            "ended_at": rfc3339(self.ended_at),
            "cancel_initiated_at": rfc3339(self.cancel_initiated_at),
            "archived_at": rfc3339(self.created_at + RESULTS_LIFETIME) if self._is_archived(now) else None,
            "results_url": results_url if self.has_results(now) else None,
        }

    def _status(self) -> str:
        if self.ended_at is not None:
            return "ended"
        return "in_progress" if self.cancel_initiated_at is None else "canceling"

    def _is_archived(self, now: datetime) -> bool:
        return now >= self.created_at + RESULTS_LIFETIME


class BatchStore:
    """Every batch of every workspace, oldest first; a workspace is whatever string the caller says."""

    def __init__(self, *, max_batches: int = MAX_BATCHES, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        """Start empty."""
        self._max_batches = max_batches
        self._max_kept_bytes = max_kept_bytes
        self._batches: OrderedDict[tuple[str, str], Batch] = OrderedDict()

    def put(self, workspace: str, batch: Batch) -> None:
        """Keep the batch in place of what it was before, and forget the oldest ones until it fits."""
        self._batches[workspace, batch.id] = batch
        while len(self._batches) > self._max_batches or self._kept_bytes() > self._max_kept_bytes:
            self._batches.popitem(last=False)

    def find(self, workspace: str, batch_id: str, now: datetime) -> Batch:
        """The batch of that id as it is now.

        Raises:
            SandboxError: 404, there is none in this workspace, or no longer.
        """
        batch = self._batches.get((workspace, batch_id))
        if batch is None:
            raise not_found(f"Message batch `{batch_id}` not found.")
        return self._up_to_date(workspace, batch, now)

    def list(self, workspace: str, now: datetime) -> list[Batch]:
        """The batches of the workspace as they are now, newest first."""
        mine = [batch for (owner, _), batch in reversed(self._batches.items()) if owner == workspace]
        return [self._up_to_date(workspace, batch, now) for batch in mine]

    def delete(self, workspace: str, batch_id: str) -> None:
        """Forget the batch, which is there."""
        del self._batches[workspace, batch_id]

    def _up_to_date(self, workspace: str, batch: Batch, now: datetime) -> Batch:
        if batch.ended_at is not None or now < batch.expires_at:
            return batch
        expired = batch.end("expired", batch.expires_at)
        self._batches[workspace, batch.id] = expired
        return expired

    def _kept_bytes(self) -> int:
        return sum(batch.kept_bytes for batch in self._batches.values())
