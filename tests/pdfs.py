"""PDF documents made by hand: a few pages of text, each with one red box at a known place."""

from collections.abc import Sequence

RED_BOX_PT = (100, 200, 150, 230)
"""Left, bottom, right and top of the box, from the page's bottom left corner, as PDF counts."""


def pdf(texts: Sequence[str], size_pt: tuple[float, float] = (595.28, 841.89), entries: str = "") -> bytes:
    """A document with one page for each text; `entries` go into the dictionary of each page."""
    width_pt, height_pt = size_pt
    pages = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(texts)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{pages}] /Count {len(texts)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    left, bottom, right, top = RED_BOX_PT
    for index, text in enumerate(texts):
        content = f"BT /F1 24 Tf 72 {height_pt - 100} Td ({text}) Tj ET "
        content += f"1 0 0 rg {left} {bottom} {right - left} {top - bottom} re f"
        box, font = f"[0 0 {width_pt} {height_pt}]", "<< /Font << /F1 3 0 R >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox {box} {entries} /Contents {5 + 2 * index} 0 R /Resources {font} >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    return _file(objects)


def _file(objects: Sequence[str]) -> bytes:
    """The objects, the table of where they stand, and the trailer."""
    written, places = "%PDF-1.4\n", list[int]()
    for number, body in enumerate(objects, 1):
        places.append(len(written))
        written += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer << /Size {len(objects) + 1} /Root 1 0 R >>\n"
    )
    return f"{written}{end}startxref\n{len(written)}\n%%EOF\n".encode("ascii")
