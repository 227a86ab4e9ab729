"""What every request may cost and did cost: reserved before money can be spent, settled once, reported to the cent."""

from app.ledger.ledger import Ledger, open_ledger
from app.ledger.records import RateLimit, Reservation, Settlement, Spending
from app.ledger.reports import Entry, EntryState, GroupBy, Page, Tokens, UsageGroup, UsageReport

__all__ = [
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
    "open_ledger",
]
