"""One file, several pictures: a PDF becomes its pages, a picture too long to be seen whole its parts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.domain import DetailLevel, Notice, Page, RawImage, Tile
from app.errors import AppError, ErrorCode, ImageError
from app.imaging.formats import is_pdf
from app.imaging.plan import MANY_IMAGES, bounds_for
from app.imaging.tiles import EXTREME_ASPECT, tile_boxes
from app.imaging.tokens import Bounds
from app.pipeline.ports import Services
from app.pipeline.request import Picture, Question, UnusableImage

DEFAULT_PAGES = 20
"""Of a PDF whose pages nobody chose."""


@dataclass(frozen=True, slots=True)
class Unfolding:
    """What the caller asked for: which `pages` of PDFs (`1-3,7`, `21-`), whether long pictures are cut into `tiles`."""

    pages: str | None = None
    tiles: bool = False
    detail: DetailLevel = "auto"
    max_image_tokens: int | None = None


async def unfold(question: Question, wanted: Unfolding, services: Services) -> Question:
    """The same question with every page and every part a picture of its own.

    A file that cannot be unfolded becomes an `UnusableImage` in its place.

    Raises:
        AppError: `invalid_request` where pages were chosen and there is no PDF.
    """
    if wanted.pages is not None and not any(map(_is_document, question.images)):
        raise AppError(ErrorCode.INVALID_REQUEST, "pages: none of the files is a PDF", field="pages")
    pictures: list[Picture] = []
    notices: list[Notice] = []
    for picture in question.images:
        try:
            if isinstance(picture, RawImage) and _is_document(picture):
                pictures += await _pages(picture, wanted.pages, notices, services)
            elif isinstance(picture, RawImage) and wanted.tiles:
                pictures += await _tiles(picture, _tile_bounds(question.model, wanted, services), services)
            else:
                pictures.append(picture)
        except ImageError as error:
            pictures.append(UnusableImage(error, picture.name if isinstance(picture, RawImage) else None))
    return replace(question, images=pictures, notices=tuple(notices))


def _is_document(picture: Picture) -> bool:
    return isinstance(picture, RawImage) and is_pdf(picture.data)


async def _pages(document: RawImage, chosen: str | None, notices: list[Notice], services: Services) -> list[RawImage]:
    pages = await services.imaging.measure_pages(document.data)
    if chosen is None and len(pages) > DEFAULT_PAGES:
        name = document.name or "the PDF"
        message = f"the first {DEFAULT_PAGES} of {len(pages)} pages of {name} were sent; choose others with pages=21-"
        notices.append(Notice("pages_left_out", message))
    numbers = range(1, min(len(pages), DEFAULT_PAGES) + 1) if chosen is None else _chosen(chosen, pages)
    return [replace(document, part=pages[number - 1]) for number in numbers]


def _chosen(chosen: str, pages: list[Page]) -> Iterable[int]:
    """The numbers that a choice such as `1-3,7` or `21-` names, in order, each once; a range ends with the document.

    Raises:
        ImageError: `invalid_request` where a page is not there.
    """
    numbers: dict[int, None] = {}
    for entry in chosen.split(","):
        first, dash, last = (text.strip() for text in entry.partition("-"))
        begin, end = int(first), int(last or len(pages)) if dash else int(first)
        if not 1 <= begin <= len(pages) or end < begin:
            raise ImageError(
                ErrorCode.INVALID_REQUEST,
                f"pages={entry.strip()} is not in the document, which has {len(pages)}",
                actual=begin,
                limit=len(pages),
            )
        numbers |= dict.fromkeys(range(begin, min(end, len(pages)) + 1))
    return numbers


async def _tiles(picture: RawImage, bounds: Bounds, services: Services) -> list[RawImage]:
    """The parts of a picture longer than 4:1 that would be scaled down; the picture itself where it would not."""
    [facts] = await services.imaging.probe([picture.data])
    if isinstance(facts, ImageError):
        raise facts
    size = facts.size
    if max(size) <= EXTREME_ASPECT * min(size):
        return [picture]
    boxes = tile_boxes(size, bounds)
    if len(boxes) == 1:
        return [picture]
    return [
        replace(picture, part=Tile(number, len(boxes), box.left_px, box.top_px, box.size))
        for number, box in enumerate(boxes, 1)
    ]


def _tile_bounds(model: str, wanted: Unfolding, services: Services) -> Bounds:
    """What a part may be: what the model sees natively, and small enough however many there will be."""
    many = MANY_IMAGES + 1
    return bounds_for(services.catalog.find(model), wanted.detail, wanted.max_image_tokens, many)
