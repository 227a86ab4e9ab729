"""The limits that protect this service from a file, as one value; the vendor's own limits are in `plan`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What a received file may be before its pixels are touched. Measured reasons: `docs/imaging.md`."""

    max_pixels: int = 100_000_000
    max_side_px: int = 30_000
    max_aspect: int = 200
    max_frames: int = 5_000
    max_jpeg_scans: int = 100
