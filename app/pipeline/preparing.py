"""Plan and normalize: every picture of a request counted and sized together, then made to fit together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio

from app.domain import Model, Notice, RawImage
from app.errors import AppError, ErrorCode, ImageError
from app.imaging.plan import ImagePlan, bounds_for, make_plan, plan_image
from app.imaging.probe import ImageFacts
from app.imaging.render import PreparedImage
from app.imaging.tokens import billed_tokens
from app.pipeline.message_body import base64_source
from app.pipeline.ports import Services
from app.pipeline.reports import FileFacts, ImageReport, SentImage
from app.pipeline.request import VisionRequest
from app.pipeline.sharing import fair_shares

MAX_REQUEST_BYTES = 32_000_000
"""Of one request's JSON. The documents say "32 MB"; whether 10^6 or 2^20 is not known, so the smaller is kept.

Source: https://platform.claude.com/docs/en/api/errors, seen 2026-08-22.
"""

_SOURCE_OVERHEAD_BYTES = len(base64_source("image/jpeg", b""))


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """A picture with what it is and what it should become; nothing has been decoded yet. `index` counts from 0."""

    index: int
    raw: RawImage
    facts: ImageFacts
    plan: ImagePlan
    tokens: int


async def plan_images(request: VisionRequest, services: Services) -> tuple[Model, list[PlannedImage]]:
    """What each picture of the request becomes for its model, by headers and arithmetic alone.

    Raises:
        AppError: `too_many_images`.
        ImageError: the first picture that cannot be used; the others that cannot are in its details.
    """
    model = services.catalog.find(request.model)
    count = len(request.images) + request.remote_images
    if count > model.max_images:
        raise AppError(
            ErrorCode.TOO_MANY_IMAGES,
            f"{count} images in the request, earlier turns included; {model.id} takes {model.max_images}",
            actual=count,
            limit=model.max_images,
            hint="send them in several requests, or choose a model with a context of 1M tokens (600 images)",
        )
    probed = await services.imaging.probe([image.data for image in request.images])
    facts = _all_usable(probed, request.images)
    bounds = bounds_for(model, request.detail, request.max_image_tokens, count, steady=request.steady)
    planned: list[PlannedImage] = []
    for index, (raw, known) in enumerate(zip(request.images, facts, strict=True)):
        plan = plan_image(known, len(raw.data), bounds)
        planned.append(PlannedImage(index, raw, known, plan, billed_tokens(plan.target, model.tier)))
    return model, planned


async def prepare_images(
    request: VisionRequest, model: Model, planned: Sequence[PlannedImage], services: Services
) -> list[SentImage]:
    """The pictures as they go to Claude, within the byte limit of the whole request.

    Raises:
        ImageError: `image_undecodable`, or `request_too_large_after_normalizing` for the one that cannot be pressed
            into its share.
    """
    prepared = await _prepare_all(planned, services)
    over = _reduced(request, planned, prepared)
    again = await _prepare_all(over, services)
    for image, result in zip(over, again, strict=True):
        prepared[image.index] = result
    return [_sent(request, image, result, model) for image, result in zip(planned, prepared, strict=True)]


def request_bytes(request: VisionRequest, images: Sequence[SentImage]) -> bytes:
    """The JSON that goes to Claude."""
    return request.body.fill([_source(raw, image) for raw, image in zip(request.images, images, strict=True)])


def _source(raw: RawImage, image: SentImage) -> bytes:
    """The JSON of a picture's source; the very object that came where nothing of it had to change."""
    if raw.source_json is not None and image.data is raw.data and image.media_type == raw.media_type:
        return raw.source_json
    return base64_source(image.media_type, image.data)


def request_notices(model: Model) -> tuple[Notice, ...]:
    """What the caller should know that is not about one picture."""
    if model.known:
        return ()
    return (
        Notice(
            "unknown_model",
            f"{model.id} is not in the catalog: pictures were prepared by the standard tier's limits, "
            f"at most {model.max_images} a request",
        ),
    )


async def _prepare_all(planned: Sequence[PlannedImage], services: Services) -> list[PreparedImage]:
    """Each picture by its plan, in the same order; in parallel as far as the pool has room."""
    results: dict[int, PreparedImage] = {}

    async def one(image: PlannedImage) -> None:
        try:
            results[image.index] = await services.imaging.prepare(image.raw.data, image.facts, image.plan)
        except ImageError as error:
            raise error.about(image.index + 1, image.raw.name) from error

    try:
        async with anyio.create_task_group() as tasks:
            for image in planned:
                tasks.start_soon(one, image)
    except* ImageError as group:
        raise _first(group) from group
    return [results[image.index] for image in planned]


def _reduced(
    request: VisionRequest, planned: Sequence[PlannedImage], prepared: Sequence[PreparedImage]
) -> list[PlannedImage]:
    """The pictures that take more than their share where all together exceed the request's limit, planned anew.

    Raises:
        AppError: `request_too_large_after_normalizing` where the text alone leaves no room.
    """
    sizes = [_base64_chars(len(image.data)) for image in prepared]
    budget = MAX_REQUEST_BYTES - request.body.text_bytes - len(sizes) * _SOURCE_OVERHEAD_BYTES
    if sum(sizes) <= budget:
        return []
    if budget < len(sizes):
        raise AppError(
            ErrorCode.REQUEST_TOO_LARGE_AFTER_NORMALIZING,
            f"the text alone is {request.body.text_bytes} bytes; a whole request may be {MAX_REQUEST_BYTES}",
            actual=request.body.text_bytes,
            limit=MAX_REQUEST_BYTES,
        )
    shares = fair_shares(sizes, budget)
    return [
        replace(image, plan=make_plan(image.facts, len(image.raw.data), image.plan.target, share // 4 * 3))
        for image, size, share in zip(planned, sizes, shares, strict=True)
        if size > share
    ]


def _sent(request: VisionRequest, image: PlannedImage, result: PreparedImage, model: Model) -> SentImage:
    raw, facts = image.raw, image.facts
    report = ImageReport(
        index=image.index + 1,
        label=request.labels[image.index],
        name=raw.name,
        source=raw.source,
        original=FileFacts(facts.format.media_type, facts.size, len(raw.data), facts.sha256),
        sent=FileFacts(result.media_type, result.size, len(result.data), result.sha256),
        operations=result.operations,
        tokens=billed_tokens(result.size, model.tier),
        notices=result.notices,
    )
    return SentImage(result.data, result.media_type, report)


def _all_usable(probed: Sequence[ImageFacts | ImageError], images: Sequence[RawImage]) -> list[ImageFacts]:
    """The facts of every picture.

    Raises:
        ImageError: the first that has none; `details.others` holds the messages of the rest.
    """
    refused = [
        result.about(index, image.name)
        for index, (result, image) in enumerate(zip(probed, images, strict=True), start=1)
        if isinstance(result, ImageError)
    ]
    if refused:
        first, *others = refused
        if others:
            first.details["others"] = [error.message for error in others]
        raise first
    return [result for result in probed if isinstance(result, ImageFacts)]


def _first(group: BaseExceptionGroup[ImageError]) -> ImageError:
    """The error of the picture that comes first in the request."""
    errors = [error for error in group.exceptions if isinstance(error, ImageError)]
    return min(errors, key=lambda error: str(error.details.get("image", "")).zfill(4))


def _base64_chars(size_bytes: int) -> int:
    return -(-size_bytes // 3) * 4
