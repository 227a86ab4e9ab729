"""Which of the vendor's files belongs to which caller, under ids of our own; the bytes stay at the vendor."""

from app.files.sql import FileStore

__all__ = ["FileStore"]
