"""Where things are: a question for boxes, and its answer in the pixels of the files that were uploaded."""

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.domain import Notice
from app.errors import AppError, ErrorCode
from app.pipeline.coordinates import Box, original_box
from app.pipeline.extracting import Extraction
from app.pipeline.reports import Answer, ImageReport
from app.pipeline.request import Question, VisionRequest

SCHEMA = msgspec.json.encode(
    {
        "type": "object",
        "properties": {
            "objects": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "label": {"type": "string", "description": "What it is, in a few words."},
                        "image": {"type": "integer", "description": "The number of its image, counted from 1."},
                        "box": {
                            "type": "array",
                            "items": {"type": "number"},
                            "description": "[x1, y1, x2, y2] in absolute pixels of its image.",
                        },
                    },
                    "required": ["label", "image", "box"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["objects"],
        "additionalProperties": False,
    }
).decode()
"""What the answer is read by: loose where the service judges each object by itself."""

_TASK = """\
Find in the image, or in each of the images: {target}

For every one that you find give a label, the number of its image (as it is labelled; an only image is number 1) and \
its bounding box as [x1, y1, x2, y2]: absolute pixel coordinates in that image as it was given to you, the origin at \
its top left corner, x to the right, y down, x1 < x2, y1 < y2. Where there is none, give an empty array."""


@dataclass(frozen=True, slots=True)
class LocatedObject:
    """One thing that was found. `image` is the number of its picture, `sent_box` the box as Claude gave it."""

    label: str
    image: int
    box: Box
    sent_box: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Location:
    """An answer, and the objects in it."""

    answer: Answer
    objects: tuple[LocatedObject, ...]


def ask_where(question: Question, target: str) -> Question:
    """The question for boxes of the `target`; a prompt of the caller's is added to it.

    Every picture is to be refused by the vendor rather than be scaled down, for then no box would be right.
    """
    task = _TASK.format(target=target)
    prompt = f"{task}\n\n{question.prompt}" if question.prompt else task
    return replace(question, prompt=prompt, exact_sizes=True)


def refuse_unseen(request: VisionRequest) -> None:
    """Nothing, unless pictures are left to the vendor to fetch, whose sizes nobody here knows.

    Raises:
        AppError: `invalid_request`.
    """
    known = len(request.images) + sum(slot.number is not None for slot in request.body.files)
    if known < request.picture_count:
        raise AppError(
            ErrorCode.INVALID_REQUEST,
            f"{request.picture_count - known} of {request.picture_count} pictures are fetched by the vendor, so that "
            "their size is not known here and no box can be mapped",
            hint="send the pictures' bytes, or let the operator set VISION_PROXY_URL_IMAGES=fetch",
        )


def located(extraction: Extraction) -> Location:
    """The objects of an answer in the pixels of their files; what cannot be placed is told in a notice."""
    answer, images = extraction.answer, {report.index: report for report in extraction.answer.images}
    objects: list[LocatedObject] = []
    notices: list[Notice] = []
    for entry in extraction.data["objects"]:
        found = _placed(entry, images.get(entry["image"]))
        if found is None:
            notices.append(_dropped(entry, images.keys()))
        else:
            objects.append(found)
    return Location(replace(answer, notices=(*answer.notices, *notices)), tuple(objects))


def _placed(entry: dict[str, Any], report: ImageReport | None) -> LocatedObject | None:
    box = None if report is None else original_box(entry["box"], report)
    if report is None or box is None:
        return None
    return LocatedObject(entry["label"], report.index, box, tuple(entry["box"]))


def _dropped(entry: dict[str, Any], known: Container[int]) -> Notice:
    number, label = entry["image"], entry["label"][:100]
    reason = f"{entry['box'][:8]} is no box in image {number}" if number in known else f"there is no image {number}"
    return Notice("object_dropped", f"{label!r} was left out: {reason}")
