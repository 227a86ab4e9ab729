"""Bytes and a plan in, a `PreparedImage` out: the one place where the steps on pixels stand in their order."""

from dataclasses import dataclass
from hashlib import sha256

from PIL import Image

from app.domain import MediaType, Notice, Size
from app.errors import ErrorCode, ImageError
from app.imaging.classify import is_synthetic
from app.imaging.colour import flatten, grey_if_grey, to_srgb
from app.imaging.decode import Decoded, decode
from app.imaging.encode import Encoded, Rung, encode_best, ladder
from app.imaging.formats import GIF, JPEG, PNG, WEBP
from app.imaging.notices import notices_for
from app.imaging.orient import describe_orientation, turn_upright
from app.imaging.plan import ImagePlan
from app.imaging.probe import ImageFacts
from app.imaging.resize import resize
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


def prepare(data: bytes, facts: ImageFacts, plan: ImagePlan) -> PreparedImage:
    """The picture as the plan wants it; a pure function of its arguments.

    Raises:
        ImageError: `image_undecodable`; `request_too_large_after_normalizing` where no rung of the ladder fits.
    """
    if plan.keep_bytes:
        kept = _keep(data, facts)
        if kept is not None:
            return kept
    return _render(data, facts, plan)


def _keep(data: bytes, facts: ImageFacts) -> PreparedImage | None:
    """The file as it is, less its metadata; None where it turns out to be malformed."""
    stripped = strip_metadata(data, facts.format)
    if stripped is None:
        return None
    removed = len(data) - len(stripped)
    operations = (f"stripped {removed} bytes of metadata",) if stripped is not data else ()
    notices = tuple(notices_for(facts, facts.size, is_text=False))
    digest = facts.sha256 if stripped is data else sha256(stripped).hexdigest()
    return PreparedImage(stripped, _MEDIA_TYPES[facts.format.media_type], facts.size, operations, notices, digest)


def _render(data: bytes, facts: ImageFacts, plan: ImagePlan) -> PreparedImage:
    decoded = decode(data, facts, plan.target)
    image, colour_operations = finish(decoded, plan.target)
    synthetic = is_synthetic(image)
    encoded, size = encode_best(image, synthetic=synthetic), plan.target
    pressed = len(encoded.data) > plan.max_bytes
    if pressed:
        encoded, size = _descend(ladder(synthetic=synthetic), decoded, image, plan)
    operations = [f"decoded {facts.format.media_type}"]
    if not facts.upright:
        operations.append(describe_orientation(facts.orientation))
    if size != facts.size:
        operations.append(f"downscaled {facts.size} to {size}")
    operations += [*colour_operations, encoded.how]
    notices = [*notices_for(facts, size, is_text=synthetic)]
    if pressed and not encoded.lossless:
        notices.append(Notice("lossy", f"{encoded.how} to stay within {plan.max_bytes} bytes"))
    digest = sha256(encoded.data).hexdigest()
    return PreparedImage(encoded.data, encoded.media_type, size, tuple(operations), tuple(notices), digest)


def finish(decoded: Decoded, size: Size) -> tuple[Image.Image, list[str]]:
    """Upright, sRGB, opaque pixels of that upright size, and what was done to their colour.

    Turning and colour come after the resize, where they cost an eighth.
    """
    facts = decoded.facts
    image = turn_upright(resize(decoded.pixels, facts.in_file_axes(size)), facts.orientation)
    image, converted = to_srgb(image, decoded.profile)
    image, ground = flatten(image)
    operations = ["converted to sRGB (ICC profile)"] if converted else []
    if ground is not None:
        operations.append(f"flattened on {ground}")
    return grey_if_grey(image), operations


def _descend(rungs: tuple[Rung, ...], decoded: Decoded, image: Image.Image, plan: ImagePlan) -> tuple[Encoded, Size]:
    """The best rung of the ladder whose file fits, found by halving: at most four encodes for ten rungs.

    The lossless rung is tried by itself, for a lossy file of text may well be the larger one.

    Raises:
        ImageError: `request_too_large_after_normalizing`.
    """
    if rungs[0].lossless:
        encoded, size = _stand_on(rungs[0], decoded, image, plan.target)
        if len(encoded.data) <= plan.max_bytes:
            return encoded, size
        rungs = rungs[1:]
    fitting: tuple[Encoded, Size] | None = None
    lowest_bytes = 0
    best, worst = 0, len(rungs) - 1
    while best <= worst:
        middle = (best + worst) // 2
        encoded, size = _stand_on(rungs[middle], decoded, image, plan.target)
        if len(encoded.data) <= plan.max_bytes:
            fitting, worst = (encoded, size), middle - 1
        else:
            lowest_bytes, best = len(encoded.data), middle + 1
    if fitting is None:
        raise ImageError(
            ErrorCode.REQUEST_TOO_LARGE_AFTER_NORMALIZING,
            f"still {lowest_bytes} bytes at the lowest quality and half of {plan.target} px; "
            f"its share of the request is {plan.max_bytes} bytes",
            actual=lowest_bytes,
            limit=plan.max_bytes,
            hint="send fewer pictures in one request, or ask for less with detail=low",
        )
    return fitting


def _stand_on(rung: Rung, decoded: Decoded, image: Image.Image, target: Size) -> tuple[Encoded, Size]:
    """What the rung makes of the picture. A scaled rung resamples the decoded pixels, never the resized ones."""
    if rung.scale == 1:
        return rung.encode(image), target
    size = Size(*(max(round(side * rung.scale), 1) for side in target))
    return rung.encode(finish(decoded, size)[0]), size
