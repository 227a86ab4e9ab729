"""JSON Schemas of strangers: whether one is sound, what the vendor takes of it, and whether an answer keeps to it.

Nothing here is fetched, and nothing of a stranger's schema runs in this process; see `judge`.
"""

from app.schemas.judge import Judge, open_judge
from app.schemas.records import Fault, Reading, Verdict

__all__ = ["Fault", "Judge", "Reading", "Verdict", "open_judge"]
