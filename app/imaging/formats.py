"""Which format a file is, by its first bytes alone: never by its name and never by what the sender called it."""

from dataclasses import dataclass

_PDF_SIGNATURE_WITHIN = 1_024
"""Readers look for it so far into the file. Source: Adobe's implementation note 13 to the PDF Reference 1.7."""

ACCEPTED = "JPEG, PNG, GIF, WebP, HEIC/HEIF, AVIF, TIFF, BMP, ICO or JPEG 2000"
"""For messages: what this service reads."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format this service reads. `decoder` is Pillow's name of the plugin that opens it."""

    media_type: str
    decoder: str


JPEG = Format("image/jpeg", "JPEG")
PNG = Format("image/png", "PNG")
GIF = Format("image/gif", "GIF")
WEBP = Format("image/webp", "WEBP")
AVIF = Format("image/avif", "AVIF")
HEIF = Format("image/heic", "HEIF")
TIFF = Format("image/tiff", "TIFF")
BMP = Format("image/bmp", "BMP")
DIB = Format("image/bmp", "DIB")
ICO = Format("image/x-icon", "ICO")
CUR = Format("image/x-icon", "CUR")
JPEG2000 = Format("image/jp2", "JPEG2000")
PDF = Format("application/pdf", "PDF")
"""No picture, but a stack of them; `sniff` does not know it."""

_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"II+\x00", TIFF),
    (b"MM\x00+", TIFF),
    (b"BM", BMP),
    (b"\x00\x00\x01\x00", ICO),
    (b"\x00\x00\x02\x00", CUR),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", JPEG2000),
    (b"\xff\x4f\xff\x51", JPEG2000),
)

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "an EPS file"),
    (b"\xd7\xcd\xc6\x9a", "a WMF drawing"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"DDS ", "a DDS texture"),
    (b"SIMPLE  =", "a FITS file"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a video"),
)

_DIB_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"})


def sniff(data: bytes) -> Format | None:
    """The format whose signature the file begins with; None where this service reads no such thing."""
    for signature, found in _SIGNATURES:
        if data.startswith(signature):
            return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp":
        return _iso_media(data)
    return DIB if _is_bare_bitmap(data) else None


def is_pdf(data: bytes) -> bool:
    """Whether the file is a PDF document, perhaps behind a few bytes of something else."""
    return b"%PDF-" in data[:_PDF_SIGNATURE_WITHIN] and sniff(data) is None


def describe_unreadable(data: bytes) -> str:
    """What a file that `sniff` does not know seems to be, for an error message; `an unknown kind of file` at worst."""
    for signature, name in _REFUSED:
        if data.startswith(signature):
            return name
    if data[4:8] == b"ftyp":
        return "a video"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in data[:4096].lower()):
        return "an SVG drawing"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if head.startswith((b"{", b"[")):
        return "a JSON text"
    return "an unknown kind of file"


def _iso_media(data: bytes) -> Format | None:
    """AVIF or HEIF by the brands of the `ftyp` box: the major one first, then the compatible ones."""
    box_end = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, box_end, 4))]
    if brands[0] in _AVIF_BRANDS or (brands[0] in {b"mif1", b"msf1"} and _AVIF_BRANDS.intersection(brands)):
        return AVIF
    return HEIF if _HEIF_BRANDS.intersection(brands) else None


def _is_bare_bitmap(data: bytes) -> bool:
    """Whether this is a bitmap without its file header, as clipboards hold it."""
    if int.from_bytes(data[:4], "little") not in _DIB_HEADER_SIZES:
        return False
    return data[12:14] == b"\x01\x00" or (data[0] == 12 and data[8:10] == b"\x01\x00")  # noqa: PLR2004 - OS/2 header
