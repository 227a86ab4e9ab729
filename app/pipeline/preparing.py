"""Plan and normalize: every picture of a request counted and sized together, then made to fit together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import anyio

from app.domain import Model, Notice, Page, RawImage, RemoteImage, Size
from app.errors import AppError, ErrorCode, ImageError
from app.imaging.plan import MANY_IMAGES, ImagePlan, bounds_for, plan_image, tightened
from app.imaging.prepared import PreparedImage
from app.imaging.probe import ImageFacts, page_facts
from app.imaging.tokens import billed_tokens, seen_size
from app.pipeline.base64_text import base64_source
from app.pipeline.collecting import first_error
from app.pipeline.ports import Services
from app.pipeline.reports import FileFacts, ImageReport, SentImage
from app.pipeline.request import StoredPicture, VisionRequest
from app.pipeline.sharing import fair_shares
from app.pipeline.spilling import Spill, file_source, largest_until_fit
from app.upstream.pieces import Pieces

MAX_REQUEST_BYTES = 32_000_000
"""Of one request's JSON. The documents say "32 MB"; whether 10^6 or 2^20 is not known, so the smaller is kept.

Source: https://platform.claude.com/docs/en/api/errors, seen 2026-08-22.
"""

_SOURCE_OVERHEAD_BYTES = len(base64_source("image/jpeg", b""))


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """A picture with what it is and what it should become; nothing has been decoded yet.

    `index` is its place among the request's images, counted from 0; `number` that among all pictures, from 1.
    """

    index: int
    number: int
    raw: RawImage
    facts: ImageFacts
    plan: ImagePlan
    tokens: int


async def plan_images(request: VisionRequest, services: Services) -> tuple[Model, list[PlannedImage]]:
    """What each picture of a collected request becomes for its model, by headers and arithmetic alone.

    Raises:
        AppError: `url_images_off`.
        ImageError: the first picture that cannot be used, the others that cannot in its details; or a stored one that
            the model would see smaller where it may not.
    """
    model = services.catalog.find(request.model)
    _refuse_unseen(request)
    _refuse_shrunk(request, model)
    images = [image for image in request.images if isinstance(image, RawImage)]
    probed = await _facts(images, services)
    for raw, found in zip(images, probed, strict=True):
        if isinstance(found, ImageError):
            services.observer.image("unknown", "refused", 0, raw.size_bytes, 0)
    facts = _all_usable(probed, images, request.numbers)
    bounds = bounds_for(model, request.detail, request.max_image_tokens, request.picture_count, steady=request.steady)
    planned: list[PlannedImage] = []
    for index, (raw, known) in enumerate(zip(images, facts, strict=True)):
        plan = plan_image(known, raw.size_bytes, bounds, raw.part)
        tokens = billed_tokens(plan.target, model.tier)
        planned.append(PlannedImage(index, request.numbers[index], raw, known, plan, tokens))
    return model, planned


async def _facts(images: Sequence[RawImage], services: Services) -> list[ImageFacts | ImageError]:
    """What each picture is, in order. Pages were measured when their document was unfolded."""
    whole = [image.data for image in images if not isinstance(image.part, Page)]
    probed = iter(await services.imaging.probe(whole))
    return [page_facts(image.part) if isinstance(image.part, Page) else next(probed) for image in images]


async def prepare_images(
    request: VisionRequest,
    model: Model,
    planned: Sequence[PlannedImage],
    services: Services,
    spill: Spill | None = None,
) -> list[SentImage]:
    """The pictures as they go to Claude, within the byte limit of the whole request.

    What is too much goes by `spill`; where there is none, or it takes nothing, the pictures are pressed into shares.

    Raises:
        ImageError: `image_undecodable`, or `request_too_large_after_normalizing` for the one that cannot be pressed
            into its share.
    """
    with services.observer.step("normalize"):
        planned = await _with_digests(planned, services, every=request.digests)
        prepared = await _prepare_all(planned, services)
        files = await _spilled(request, prepared, spill) if spill is not None else {}
        over = _reduced(request, planned, prepared, files)
        over = await _with_digests(over, services, every=request.digests)
        again = await _prepare_all(over, services)
    for image, result in zip(over, again, strict=True):
        prepared[image.index] = result
    for image, result in zip(planned, prepared, strict=True):
        _tell(image, result, services)
    return [
        _sent(request, image, result, model, files.get(image.index))
        for image, result in zip(planned, prepared, strict=True)
    ]


async def _with_digests(planned: Sequence[PlannedImage], services: Services, *, every: bool) -> list[PlannedImage]:
    """The same pictures; those that take pixel work, which is remembered by them, or all have their digests."""
    without = [image for image in planned if not image.facts.sha256 and (every or not image.plan.keep_bytes)]
    digests = await services.imaging.digests([image.raw.data for image in without])
    found = {image.index: digest for image, digest in zip(without, digests, strict=True)}
    return [
        replace(image, facts=replace(image.facts, sha256=found[image.index])) if image.index in found else image
        for image in planned
    ]


async def _spilled(request: VisionRequest, prepared: Sequence[PreparedImage], spill: Spill) -> dict[int, str]:
    """The ids of the pictures that went to the vendor as files, by their index; none where all fit into the body."""
    sizes = [_base64_chars(len(image.data)) for image in prepared]
    taken = largest_until_fit(sizes, _budget(request, len(sizes)))
    ids = await spill.take([prepared[index] for index in taken])
    return dict(zip(taken, ids, strict=False))


def request_pieces(request: VisionRequest, images: Sequence[SentImage]) -> Pieces:
    """The JSON that goes to Claude: of each picture the very source that came where nothing of it had to change."""
    came = request.body.came
    return request.body.fill(
        [
            None if index in came and _is_untouched(raw, image) else _source(image)
            for index, (raw, image) in enumerate(zip(request.images, images, strict=True))
        ]
    )


def _is_untouched(raw: RawImage | RemoteImage, image: SentImage) -> bool:
    same = isinstance(raw, RawImage) and image.data is raw.data and image.media_type == raw.media_type
    return same and image.file_id is None


def _source(image: SentImage) -> bytes:
    return base64_source(image.media_type, image.data) if image.file_id is None else file_source(image.file_id)


def all_reports(request: VisionRequest, model: Model, images: Sequence[SentImage]) -> tuple[ImageReport, ...]:
    """What became of every picture that this service knows, in the order in which Claude reads them."""
    stored = [_stored_report(picture, request, model) for picture in request.stored]
    return tuple(sorted([*stored, *(image.report for image in images)], key=lambda report: report.index))


def request_notices(request: VisionRequest, model: Model) -> tuple[Notice, ...]:
    """What the caller should know that is not about one picture."""
    notices = list(request.notices)
    if not model.known:
        notices.append(
            Notice(
                "unknown_model",
                f"{model.id} is not in the catalog: pictures were prepared by the standard tier's limits, "
                f"at most {model.max_images} a request",
            )
        )
    unseen = _unseen(request)
    if unseen:
        notices.append(
            Notice(
                "url_passed_through",
                f"{unseen} of {request.picture_count} pictures are fetched by the vendor: not prepared, and not in the "
                "token figures of this report",
            )
        )
    return tuple(notices)


def _unseen(request: VisionRequest) -> int:
    """How many pictures the vendor fetches by URL."""
    return request.picture_count - len(request.images) - len(request.stored)


def _refuse_unseen(request: VisionRequest) -> None:
    """Nothing, unless pictures by URL would have to be sized although fetching them is off.

    Raises:
        AppError: `url_images_off`.
    """
    if request.url_mode == "off" and request.picture_count > MANY_IMAGES and _unseen(request):
        raise AppError(
            ErrorCode.URL_IMAGES_OFF,
            f"with {request.picture_count} images every side must be under 2000 px, and those by URL cannot be "
            "measured while pictures by URL are switched off",
            hint="send their bytes, or let the operator set VISION_PROXY_URL_IMAGES=fetch",
        )


def _refuse_shrunk(request: VisionRequest, model: Model) -> None:
    """Nothing, unless a stored picture has to be seen as it is and this model is known to see it smaller.

    Raises:
        ImageError: `invalid_request`.
    """
    if not request.exact_sizes or not model.known:
        return
    for picture in request.stored:
        size = picture.file.size or Size(1, 1)
        seen = seen_size(size, model.tier)
        if seen != size:
            error = ImageError(
                ErrorCode.INVALID_REQUEST,
                f"the file is {size} px and {model.id} would see it at {seen} px, where no box could be told exactly",
                actual=max(size),
                limit=max(seen),
                hint="send the picture itself, which is then prepared for this model, or choose a model that sees more",
            )
            raise error.about(picture.number, picture.file.name)


async def _prepare_all(planned: Sequence[PlannedImage], services: Services) -> list[PreparedImage]:
    """Each picture by its plan, in the same order; in parallel as far as the pool has room."""
    if not planned:
        return []
    results: dict[int, PreparedImage] = {}
    turns = anyio.CapacityLimiter(services.image_concurrency)

    async def one(image: PlannedImage) -> None:
        async with turns:
            try:
                results[image.index] = await _recalled(image, services)
            except ImageError as error:
                _tell(image, None, services)
                raise error.about(image.number, image.raw.name) from error

    try:
        async with anyio.create_task_group() as tasks:
            for image in planned:
                if image.plan.keep_bytes and image.facts.bare:
                    await one(image)  # nothing to do
                else:
                    tasks.start_soon(one, image)
    except* ImageError as group:
        raise first_error(group) from group
    return [results[image.index] for image in planned]


def _tell(image: PlannedImage, result: PreparedImage | None, services: Services) -> None:
    """Count a picture, and what became of it."""
    size_bytes = 0 if result is None else len(result.data)
    outcome = "refused" if result is None else "untouched" if result.data is image.raw.data else "prepared"
    services.observer.image(
        image.facts.format.media_type, outcome, image.facts.size.pixels, image.raw.size_bytes, size_bytes
    )


async def _recalled(image: PlannedImage, services: Services) -> PreparedImage:
    """The prepared picture, remembered where it took pixel work before."""

    async def make() -> PreparedImage:
        return await services.imaging.prepare(image.raw.data, image.facts, image.plan)

    if image.plan.keep_bytes:
        return await make()  # costs no more than the digest, and would keep the source itself
    return await services.prepared.get_or_make((image.facts.sha256, image.plan), make)


def _reduced(
    request: VisionRequest,
    planned: Sequence[PlannedImage],
    prepared: Sequence[PreparedImage],
    files: Mapping[int, str],
) -> list[PlannedImage]:
    """The pictures that take more than their share where all together exceed the request's limit, planned anew.

    Raises:
        AppError: `request_too_large_after_normalizing` where the text alone leaves no room.
    """
    sizes = [0 if index in files else _base64_chars(len(image.data)) for index, image in enumerate(prepared)]
    budget = _budget(request, len(sizes))
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
        replace(image, plan=tightened(image.plan, image.raw.size_bytes, image.plan.target, share // 4 * 3))
        for image, size, share in zip(planned, sizes, shares, strict=True)
        if size > share
    ]


def _budget(request: VisionRequest, images: int) -> int:
    """How many characters of base64 the pictures may have together."""
    return MAX_REQUEST_BYTES - request.body.text_bytes - images * _SOURCE_OVERHEAD_BYTES


def _sent(
    request: VisionRequest, image: PlannedImage, result: PreparedImage, model: Model, file_id: str | None
) -> SentImage:
    raw, facts = image.raw, image.facts
    report = ImageReport(
        index=image.number,
        label=request.labels.get(image.number),
        name=raw.name,
        source=raw.source,
        part=raw.part,
        original=FileFacts(facts.format.media_type, facts.size, raw.size_bytes, facts.sha256),
        seen=seen_size(result.size, model.tier),
        sent=FileFacts(result.media_type, result.size, len(result.data), result.sha256),
        via="base64" if file_id is None else "file",
        operations=result.operations,
        tokens=billed_tokens(result.size, model.tier),
        notices=result.notices,
    )
    return SentImage(result.data, result.media_type, report, file_id)


def _stored_report(picture: StoredPicture, request: VisionRequest, model: Model) -> ImageReport:
    """The report of a picture that was prepared when it was uploaded."""
    file = picture.file
    size = file.size or Size(1, 1)
    facts = FileFacts(file.media_type, size, file.size_bytes, file.sha256)
    return ImageReport(
        index=picture.number,
        label=request.labels.get(picture.number),
        name=file.name,
        source="file",
        original=facts,
        sent=facts,
        seen=seen_size(size, model.tier),
        via="file",
        operations=(),
        tokens=billed_tokens(size, model.tier),
        notices=(),
    )


def _all_usable(
    probed: Sequence[ImageFacts | ImageError], images: Sequence[RawImage], numbers: Sequence[int]
) -> list[ImageFacts]:
    """The facts of every picture.

    Raises:
        ImageError: the first that has none; `details.others` holds the messages of the rest.
    """
    refused = [
        result.about(number, image.name)
        for number, result, image in zip(numbers, probed, images, strict=True)
        if isinstance(result, ImageError)
    ]
    if refused:
        first, *others = refused
        if others:
            first.details["others"] = [error.message for error in others]
        raise first
    return [result for result in probed if isinstance(result, ImageFacts)]


def _base64_chars(size_bytes: int) -> int:
    return -(-size_bytes // 3) * 4
