"""The limits that protect this service from a file, as one value; the vendor's own limits are in `plan`."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What a received file may be before its pixels are touched. Measured reasons: `docs/imaging.md`."""

    max_pixels: int = 100_000_000
    max_jpeg_pixels: int = 250_000_000
    max_side_px: int = 30_000
    max_aspect: int = 200
    max_frames: int = 5_000
    max_jpeg_scans: int = 100

    @property
    def for_one_scan_jpeg(self) -> Self:
        """The same, but for the pixels of a JPEG that may be decoded at a fraction of its size."""
        return replace(self, max_pixels=max(self.max_pixels, self.max_jpeg_pixels))
