"""Pages of a PDF: how large they are, and their pixels. For worker processes only: PDFium is no codec to trust."""

# pypdfium2 ships partial types:
# pyright: reportUnknownMemberType=false

from collections.abc import Generator
from contextlib import contextmanager

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image

from app.domain import Size
from app.errors import ErrorCode, ImageError


def measure_pages(data: bytes, max_pages: int) -> tuple[tuple[float, float], ...]:
    """Width and height of each page in points, as it is shown; 0 by 0 of one that cannot be read.

    Raises:
        ImageError: `image_undecodable`, `image_too_many_pixels`.
    """
    with _opened(data) as document:
        count = len(document)
        if count > max_pages:
            raise ImageError(
                ErrorCode.IMAGE_TOO_MANY_PIXELS,
                f"the PDF has {count} pages; the limit is {max_pages}",
                actual=count,
                limit=max_pages,
                hint="send it in parts",
            )
        return tuple(_page_size(document, index) for index in range(count))


def _page_size(document: pdfium.PdfDocument, index: int) -> tuple[float, float]:
    try:
        return document.get_page_size(index)
    except pdfium.PdfiumError:
        return 0, 0


def render_page(data: bytes, index: int, size: Size) -> Image.Image:
    """The page with that number, from 0, on white, in RGB, filling exactly that size.

    Raises:
        ImageError: `image_undecodable`.
    """
    with _opened(data) as document:
        document.init_forms()  # else what people filled in would be missing
        page = document[index]
        bitmap = pdfium.PdfBitmap.new_native(*size, pdfium_c.FPDFBitmap_BGR, rev_byteorder=True)
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, *size)
        area = (0, 0, *size, 0, pdfium_c.FPDF_ANNOT | pdfium_c.FPDF_REVERSE_BYTE_ORDER)
        pdfium_c.FPDF_RenderPageBitmap(bitmap, page, *area)
        if document.formenv:
            pdfium_c.FPDF_FFLDraw(document.formenv, bitmap, page, *area)
        return bitmap.to_pil().copy()


@contextmanager
def _opened(data: bytes) -> Generator[pdfium.PdfDocument]:
    """The document, closed on exit.

    Raises:
        ImageError: `image_undecodable`, whatever PDFium makes of it.
    """
    try:
        with pdfium.PdfDocument(data) as document:
            yield document
    except pdfium.PdfiumError as error:
        locked = "password" in str(error).lower()
        raise ImageError(
            ErrorCode.IMAGE_UNDECODABLE,
            "the PDF is locked with a password" if locked else "the PDF is broken: it cannot be read",
            hint="save it anew without a password" if locked else "open it in a PDF reader and save it again",
        ) from error
