"""What one sandbox remembers between requests."""

from dataclasses import dataclass, field

from app.sandbox.cache import PromptCache
from app.sandbox.faults import FaultCounter
from app.sandbox.journal import Journal


@dataclass(frozen=True, slots=True)
class State:
    """All of it; gone with the process."""

    journal: Journal = field(default_factory=Journal)
    cache: PromptCache = field(default_factory=PromptCache)
    faults: FaultCounter = field(default_factory=FaultCounter)
