"""The guarded download of pictures by URL: what may be asked, where it leads, and how much of it is read."""

from app.fetch.download import FetchedImage, Fetcher
from app.fetch.policy import FetchLimits, FetchPolicy

__all__ = ["FetchLimits", "FetchPolicy", "FetchedImage", "Fetcher"]
