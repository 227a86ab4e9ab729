"""What every request may cost and did cost: reserved before money can be spent, settled once, reported to the cent."""

from app.ledger.ledger import Ledger, open_ledger
from app.ledger.records import MOST_KEPT_BYTES, Claim, RateLimit, Reservation, Settlement, Spending, WireAnswer
from app.ledger.reports import Entry, EntryState, GroupBy, Page, Tokens, UsageGroup, UsageReport

__all__ = [
    "MOST_KEPT_BYTES",
    "Claim",
    "Entry",
    "EntryState",
    "GroupBy",
    "Ledger",
    "Page",
    "RateLimit",
    "Reservation",
    "Settlement",
    "Spending",
    "Tokens",
    "UsageGroup",
    "UsageReport",
    "WireAnswer",
    "open_ledger",
]
