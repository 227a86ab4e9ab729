"""Collect: the pictures that did not come with the request are fetched, the files it names are looked up."""

from collections.abc import Mapping
from dataclasses import replace

import anyio

from app.domain import Model, RawImage, RemoteImage, StoredFile
from app.errors import AppError, ErrorCode, ImageError
from app.pipeline.ports import Services
from app.pipeline.request import StoredPicture, VisionRequest


async def collect(request: VisionRequest, services: Services) -> VisionRequest:
    """The same request with all its pictures at hand, and every file named as the vendor names it.

    Raises:
        AppError: `too_many_images`, `file_not_found`, `busy`.
        ImageError: a picture by URL that this service may not, or cannot, download.
    """
    refuse_too_many(request, services.catalog.find(request.model))
    files = await _find_files(request, services)
    images = await _fetch(request, services)
    if request.room is not None and images != request.images:
        await request.room.receive(request.body.text_bytes + sum(_size_bytes(image) for image in images))
    stored = tuple(
        StoredPicture(slot.number, files[slot.file_id]) for slot in request.body.files if slot.number is not None
    )
    vendor_ids = {file_id: file.vendor_id for file_id, file in files.items()}
    body = request.body.with_files(vendor_ids)
    return replace(request, images=images, body=body, stored=stored, files=tuple(files.values()))


def refuse_too_many(request: VisionRequest, model: Model) -> None:
    """Nothing, where the model takes so many pictures and documents together.

    Raises:
        AppError: `too_many_images`.
    """
    count = request.picture_count + request.document_count
    if count > model.max_images:
        documents = f" and {request.document_count} documents" if request.document_count else ""
        raise AppError(
            ErrorCode.TOO_MANY_IMAGES,
            f"{request.picture_count} images{documents} in the request, earlier turns included; "
            f"{model.id} takes {model.max_images}",
            actual=count,
            limit=model.max_images,
            hint="send them in several requests, or choose a model with a context of 1M tokens (600 images)",
        )


async def _find_files(request: VisionRequest, services: Services) -> Mapping[str, StoredFile]:
    slots = request.body.files
    if not slots:
        return {}
    found = await services.files.find(request.owner, [slot.file_id for slot in slots])
    for slot in slots:
        if slot.file_id not in found:
            raise file_not_found(slot.file_id)
        if slot.number is not None and found[slot.file_id].size is None:
            raise _no_picture(slot.number, found[slot.file_id])
    return found


def file_not_found(file_id: str) -> AppError:
    """The vendor's words for an id that is not the caller's, whether or not it is somebody else's."""
    return AppError(ErrorCode.FILE_NOT_FOUND, f"File `{file_id[:100]}` not found.", file_id=file_id[:100])


def _no_picture(number: int, file: StoredFile) -> ImageError:
    error = ImageError(ErrorCode.INVALID_REQUEST, f"the file `{file.id}` is {file.media_type}, which is no picture")
    return error.about(number, file.name)


async def _fetch(request: VisionRequest, services: Services) -> tuple[RawImage | RemoteImage, ...]:
    """The request's images, those at URLs downloaded, all at once."""
    images = list(request.images)
    fetched_bytes = 0

    async def fetch(index: int, image: RemoteImage) -> None:
        nonlocal fetched_bytes
        try:
            fetched = await services.fetcher.fetch(image.url)
            fetched_bytes += len(fetched.data)
            if fetched_bytes > request.max_fetched_bytes:
                raise _too_much(fetched_bytes, request.max_fetched_bytes)
        except ImageError as error:
            raise error.about(request.numbers[index], image.name) from error
        images[index] = RawImage(fetched.data, "url", image.name, fetched.media_type)

    try:
        async with anyio.create_task_group() as tasks:
            for index, image in enumerate(request.images):
                if isinstance(image, RemoteImage):
                    tasks.start_soon(fetch, index, image)
    except* ImageError as group:
        raise first_error(group) from group
    return tuple(images)


def _size_bytes(image: RawImage | RemoteImage) -> int:
    return image.size_bytes if isinstance(image, RawImage) else 0


def _too_much(actual: int, limit: int) -> ImageError:
    return ImageError(
        ErrorCode.URL_TOO_LARGE,
        f"the pictures by URL together are more than {limit} bytes, the limit for one request",
        actual=actual,
        limit=limit,
        hint="send them in several requests",
    )


def first_error(group: BaseExceptionGroup[ImageError]) -> ImageError:
    """The error of the picture that comes first in the request."""
    errors = [error for error in group.exceptions if isinstance(error, ImageError)]
    return min(errors, key=lambda error: str(error.details.get("image", "")).zfill(4))
