"""What one sandbox remembers between requests."""

from dataclasses import dataclass, field

from app.sandbox.batch_store import BatchStore
from app.sandbox.cache import PromptCache
from app.sandbox.clock import Clock, now_utc
from app.sandbox.faults import CaseCounter
from app.sandbox.file_store import FileStore
from app.sandbox.journal import Journal


@dataclass(frozen=True, slots=True)
class State:
    """All of it; gone with the process. Tests may give a clock and stores of their own, e.g. with a smaller cap."""

    clock: Clock = now_utc
    journal: Journal = field(default_factory=Journal)
    cache: PromptCache = field(default_factory=PromptCache)
    faults: CaseCounter = field(default_factory=CaseCounter)
    scripts: CaseCounter = field(default_factory=CaseCounter)
    files: FileStore = field(default_factory=FileStore)
    batches: BatchStore = field(default_factory=BatchStore)
