"""What Claude gets of one picture, and the file that needs no pixel work to be that."""

from dataclasses import dataclass
from hashlib import sha256

from app.domain import MediaType, Notice, Size
from app.imaging.formats import GIF, JPEG, PNG, WEBP
from app.imaging.notices import notices_for
from app.imaging.probe import ImageFacts
from app.imaging.strip import strip_metadata

_MEDIA_TYPES: dict[str, MediaType] = {
    JPEG.media_type: "image/jpeg",
    PNG.media_type: "image/png",
    GIF.media_type: "image/gif",
    WEBP.media_type: "image/webp",
}


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What Claude gets: a file, its upright size, what was done to it and what the caller should know."""

    data: bytes
    media_type: MediaType
    size: Size
    operations: tuple[str, ...]
    notices: tuple[Notice, ...]
    sha256: str
    """Of `data`; empty where that is the file as it came, or a part of it, and nobody asked for its digest."""


def keep(data: bytes, facts: ImageFacts) -> PreparedImage | None:
    """The file as it is, less its metadata; None where it turns out to be malformed. Decodes nothing."""
    stripped = data if facts.bare else strip_metadata(data, facts.format)
    if stripped is None:
        return None
    removed = len(data) - len(stripped)
    operations = (f"stripped {removed} bytes of metadata",) if stripped is not data else ()
    notices = tuple(notices_for(facts.size, facts.frames, facts.size, is_text=False))
    digest = facts.sha256 if stripped is data or not facts.sha256 else sha256(stripped).hexdigest()
    return PreparedImage(stripped, _MEDIA_TYPES[facts.format.media_type], facts.size, operations, notices, digest)
