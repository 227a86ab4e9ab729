"""Bytes and a plan in, a `PreparedImage` out: the one place where the steps on pixels stand in their order."""

from collections.abc import Iterator
from hashlib import sha256

from PIL import Image

from app.domain import Notice, Size
from app.errors import ErrorCode, ImageError
from app.imaging.classify import is_synthetic
from app.imaging.colour import flatten, grey_if_grey, to_srgb
from app.imaging.decode import Decoded, Whole, decode
from app.imaging.encode import Encoded, Rung, encode_best, ladder
from app.imaging.ladder import best_that_fits
from app.imaging.notices import notices_for, page_notices
from app.imaging.orient import describe_orientation, in_file_axes, turn_upright
from app.imaging.plan import ImagePlan
from app.imaging.prepared import PreparedImage, keep
from app.imaging.probe import ImageFacts
from app.imaging.resize import resize


def prepare(data: bytes, facts: ImageFacts, plan: ImagePlan, whole: Whole | None = None) -> PreparedImage:
    """The picture as the plan wants it; a function of the first three alone.

    `whole` saves decoding a picture once more for each of its parts; see `app.imaging.decode`.

    Raises:
        ImageError: `image_undecodable`; `request_too_large_after_normalizing` where no rung of the ladder fits.
    """
    if plan.keep_bytes:
        kept = keep(data, facts)
        if kept is not None:
            return kept
    return _render(data, facts, plan, whole or Whole())


def _render(data: bytes, facts: ImageFacts, plan: ImagePlan, whole: Whole) -> PreparedImage:
    decoded = decode(data, facts, plan, whole)
    image, colour_operations = finish(decoded, plan.target)
    synthetic = is_synthetic(image)
    encoded, size = encode_best(image, synthetic=synthetic), plan.target
    pressed = len(encoded.data) > plan.max_bytes
    if pressed:
        encoded, size = _descend(ladder(synthetic=synthetic), decoded, image, plan)
    operations = [*_operations(facts, plan, size), *colour_operations, encoded.how]
    notices = [*_notices(facts, plan, size, is_text=synthetic)]
    if pressed and not encoded.lossless:
        notices.append(Notice("lossy", f"{encoded.how} to stay within {plan.max_bytes} bytes"))
    digest = sha256(encoded.data).hexdigest()
    return PreparedImage(encoded.data, encoded.media_type, size, tuple(operations), tuple(notices), digest)


def _operations(facts: ImageFacts, plan: ImagePlan, size: Size) -> Iterator[str]:
    """What was done before colour and encoding, in words."""
    if plan.page is not None:
        yield f"drew page {plan.page + 1} of {facts.format.media_type} at {size}"
        return
    yield f"decoded {facts.format.media_type}"
    if not facts.upright:
        yield describe_orientation(facts.orientation)
    own = _own_size(facts, plan)
    if plan.box is not None:
        yield f"cut {own} at {plan.box.left_px},{plan.box.top_px} out of {facts.size}"
    if size != own:
        yield f"downscaled {own} to {size}"


def _notices(facts: ImageFacts, plan: ImagePlan, size: Size, *, is_text: bool) -> Iterator[Notice]:
    if plan.page is not None:
        return page_notices(facts.size, size, is_text=is_text)
    return notices_for(_own_size(facts, plan), facts.frames, size, is_text=is_text)


def _own_size(facts: ImageFacts, plan: ImagePlan) -> Size:
    """The size, before it is scaled, of the picture or of the part that is sent."""
    return facts.size if plan.box is None else plan.box.size


def finish(decoded: Decoded, size: Size) -> tuple[Image.Image, list[str]]:
    """Upright, sRGB, opaque pixels of that upright size, and what was done to their colour.

    Turning and colour come after the resize, where they cost an eighth.
    """
    image = turn_upright(resize(decoded.pixels, in_file_axes(size, decoded.orientation)), decoded.orientation)
    image, conversion = to_srgb(image, decoded.profile, decoded.gamma)
    image, ground = flatten(image)
    operations = [conversion] if conversion is not None else []
    if ground is not None:
        operations.append(f"flattened on {ground}")
    return grey_if_grey(image), operations


def _descend(rungs: tuple[Rung, ...], decoded: Decoded, image: Image.Image, plan: ImagePlan) -> tuple[Encoded, Size]:
    """The best rung of the ladder whose file fits: four encodes at the most, after the one or two of `encode_best`.

    The lossless rung is tried by itself, for a lossy file of text may well be the larger one.

    Raises:
        ImageError: `request_too_large_after_normalizing`.
    """
    if rungs[0].lossless:
        encoded, size = _stand_on(rungs[0], decoded, image, plan.target)
        if len(encoded.data) <= plan.max_bytes:
            return encoded, size
        rungs = rungs[1:]
    fitting, lowest_bytes = best_that_fits(
        rungs,
        lambda rung: _stand_on(rung, decoded, image, plan.target),
        lambda made: len(made[0].data),
        plan.max_bytes,
    )
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
