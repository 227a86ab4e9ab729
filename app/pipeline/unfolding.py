"""One file, several pictures: a PDF becomes its pages, a picture too long to be seen whole its parts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.domain import DetailLevel, Model, Notice, Page, RawImage, Tile
from app.errors import AppError, ErrorCode, ImageError
from app.imaging.formats import is_pdf
from app.imaging.plan import MANY_IMAGES, bounds_for
from app.imaging.tiles import EXTREME_ASPECT, tile_grid
from app.pipeline.ports import Services
from app.pipeline.request import Picture, Question, UnusableImage

DEFAULT_PAGES = 20
"""Of a PDF whose pages nobody chose."""

LONGEST_PAGE_ASPECT = 200


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
                pictures += await _tiles(picture, services.catalog.find(question.model), wanted, services)
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
    return [replace(document, part=_drawable(pages[number - 1])) for number in numbers]


def _drawable(page: Page) -> Page:
    """The page, where there is something to draw.

    Raises:
        ImageError: `image_undecodable`, `image_too_many_pixels`.
    """
    shorter, longer = sorted((page.width_pt, page.height_pt))
    if shorter < 1:
        raise ImageError(
            ErrorCode.IMAGE_UNDECODABLE,
            f"{page} is broken or shows nothing",
            hint="leave it out with pages=, or save the document again",
        )
    if longer > LONGEST_PAGE_ASPECT * shorter:
        raise ImageError(
            ErrorCode.IMAGE_TOO_MANY_PIXELS,
            f"the longer side of {page} is over {LONGEST_PAGE_ASPECT} times the shorter, the limit",
            actual=round(longer / shorter),
            limit=LONGEST_PAGE_ASPECT,
            hint="leave it out with pages=",
        )
    return page


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


async def _tiles(picture: RawImage, model: Model, wanted: Unfolding, services: Services) -> list[RawImage]:
    """The parts of a picture longer than 4:1 that would be scaled down; the picture itself where it would not.

    A part is what the model sees natively, and small enough for the rule of many images, however many there will be.

    Raises:
        ImageError: what the picture is refused for, or `too_many_images`.
    """
    [facts] = await services.imaging.probe([picture.data])
    if isinstance(facts, ImageError):
        raise facts
    if max(facts.size) <= EXTREME_ASPECT * min(facts.size):
        return [picture]
    grid = tile_grid(facts.size, bounds_for(model, wanted.detail, wanted.max_image_tokens, MANY_IMAGES + 1))
    if grid.count > model.max_images:
        raise ImageError(
            ErrorCode.TOO_MANY_IMAGES,
            f"{facts.size} px would be cut into {grid.count} parts of {grid.tile} px; {model.id} takes "
            f"{model.max_images} images",
            actual=grid.count,
            limit=model.max_images,
            hint="crop the picture, or allow more detail for each part",
        )
    if grid.count == 1:
        return [picture]
    return [
        replace(picture, part=Tile(number, grid.count, box.left_px, box.top_px, box.size))
        for number, box in enumerate(grid.boxes(), 1)
    ]
