"""Which of the vendor's batches belongs to which caller; the batches themselves stay at the vendor."""

from app.batches.sql import BatchStore

__all__ = ["BatchStore"]
