"""Header bytes in, `ImageFacts` out: what a file is, without its pixels. Refuses what must not be decoded."""

import re
import warnings
from dataclasses import dataclass, replace
from importlib import import_module
from io import BytesIO
from math import ceil

import pillow_heif
from PIL import AvifImagePlugin, Image

from app.domain import Page, Size
from app.errors import ErrorCode, ImageError
from app.imaging.formats import ACCEPTED, GIF, JPEG, PDF, PNG, TIFF, WEBP, Format, describe_unreadable, is_pdf, sniff
from app.imaging.limits import SourceLimits
from app.imaging.orient import UPRIGHT, in_file_axes
from app.imaging.prescan import JpegCoding, count_pages, declared_sizes, jpeg_coding, png_exif
from app.imaging.strip import jpeg_end, walk_jpeg

Image.MAX_IMAGE_PIXELS = 125_000_000  # refused at twice that, inside openers too; below it our own limit decides
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
for _plugin in ("Avif", "Bmp", "Cur", "Gif", "Ico", "Jpeg2K", "Jpeg", "Mpo", "Png", "Tiff", "WebP"):
    import_module(f"PIL.{_plugin}ImagePlugin")  # these and no others: EPS and its like are never loaded
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # odd metadata; the file's sender is told
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pillow_heif.register_heif_opener(thumbnails=False, decode_threads=1)  # pyright: ignore[reportUnknownMemberType] - untyped

_ORIENTATION_TAG = 0x0112
_NATIVE = frozenset({JPEG, PNG, GIF, WEBP})
_JPEG_SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1})
_JPEG_PLAIN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_EIGHT_BITS = 8
_NUMBERS = re.compile(r"\d+")
"""Those in what the decoder says of a picture that it does not open: its pixels, and how many it would take."""

_PDF_HINT = "upload it to /v1/analyze as a file, which sends its pages as pictures, or put it into a document block"
_START_OF_SCAN = b"\xff\xda"
_MOST_READS = 400_000
"""Of one file while it is opened, half a second's worth: each chunk, segment or block takes Pillow two to four.

A GIF of 32 MiB whose every block is full takes 260,000; honest files of other formats some thousands.
"""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the header says. `size` is upright, as a person sees it; `stored` is as the file keeps it."""

    format: Format
    stored: Size
    orientation: int
    mode: str
    frames: int
    coefficient_bytes: int
    """What the decoder of a JPEG holds until its last scan; 0 where it decodes line by line, and of other formats."""
    keyed: bool
    """Whether one colour, or some of the palette, counts as transparent."""
    native: bool
    """Whether Claude could read the pixels as they are coded: one of its formats, 8 bit, grey or RGB, not animated.

    A JPEG with further pictures behind its first (stereo, gain map) counts: `strip` cuts them off.
    """
    sha256: str = ""
    """Of the file; empty until somebody asks for it."""
    bare: bool = False
    """Whether it is known to hold nothing that `strip` would take out."""

    @property
    def size(self) -> Size:
        """Upright, after the EXIF orientation."""
        return self.in_file_axes(self.stored)

    def in_file_axes(self, upright: Size) -> Size:
        """An upright size as the file's own axes have it, and the other way round."""
        return in_file_axes(upright, self.orientation)

    @property
    def upright(self) -> bool:
        """Whether the stored pixels already stand as they should."""
        return self.orientation == UPRIGHT


def probe(data: bytes, limits: SourceLimits) -> ImageFacts:
    """What the header of a file says.

    Raises:
        ImageError: `empty_image`, `unsupported_format`, `image_undecodable`, or `image_too_many_pixels` where the file
            is larger, longer or more divided than `limits` allow.
    """
    if not data:
        raise ImageError(ErrorCode.EMPTY_IMAGE, "the file is empty (0 bytes)", actual=0)
    found = sniff(data)
    if found is None:
        kind = describe_unreadable(data)
        hint = _PDF_HINT if is_pdf(data) else "open it in an image editor and save it as JPEG or PNG"
        raise ImageError(ErrorCode.UNSUPPORTED_FORMAT, f"{kind}; send {ACCEPTED}", actual=kind, hint=hint)
    for size in declared_sizes(data, found):
        if min(size) > 0:  # what is no size at all the decoder shall judge
            _check_size(size, limits)
    pages = count_pages(data, found, limits.max_frames)
    _check_frames(pages or 1, limits)
    with open_image(data, found) as image:
        coding = jpeg_coding(data) if found == JPEG else None
        _check_size(Size(*image.size), limits.for_one_scan_jpeg if _in_one_scan(coding) else limits)
        facts = _facts(image, found, data, pages, coding)
    _check_frames(facts.frames, limits)
    return replace(facts, bare=_check_scans(data, limits)) if found == JPEG else facts


def page_facts(page: Page) -> ImageFacts:
    """The facts of a page, its size in points."""
    size = Size(max(round(page.width_pt), 1), max(round(page.height_pt), 1))
    digest = page.sha256
    return ImageFacts(PDF, size, UPRIGHT, "RGB", 1, coefficient_bytes=0, keyed=False, native=False, sha256=digest)


def open_image(data: bytes, found: Format) -> Image.Image:
    """The file opened by the one decoder of its format, its pixels not read yet.

    Raises:
        ImageError: `image_undecodable`.
    """
    try:
        return Image.open(_Rationed(data), formats=[found.decoder])
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels("the picture", *map(int, _NUMBERS.findall(str(error)))) from error
    except Exception as error:
        raise undecodable(found, error) from error


class _Rationed(BytesIO):
    """A file that ends the reading of one that is divided so finely that going through it takes longer than decoding.

    Pillow walks through a file in Python, one read for each of its parts, and nobody can stop the thread that does.
    """

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """The next so many bytes.

        Raises:
            ImageError: `image_too_many_pixels`, where too much was read in too small pieces.
        """
        self._reads += 1
        if self._reads > _MOST_READS:
            raise ImageError(
                ErrorCode.IMAGE_TOO_MANY_PIXELS,
                "the file consists of too many parts",
                limit=_MOST_READS,
                hint="open it in an image editor and save it again",
            )
        return super().read(size)


def undecodable(found: Format, error: Exception) -> ImageError:
    """The refusal of a broken file. Codecs raise 13 kinds of exception on such; their texts may hold paths."""
    reason = "it ends too early" if "truncated" in str(error).lower() else f"{found.decoder} data that cannot be read"
    if isinstance(error, MemoryError):
        reason = "its pixels take more memory than its header tells"
    return ImageError(
        ErrorCode.IMAGE_UNDECODABLE,
        f"the {found.media_type} file is broken: {reason}",
        media_type=found.media_type,
        hint="open it in an image editor and save it again, or take the picture anew",
    )


def _facts(image: Image.Image, found: Format, data: bytes, pages: int | None, coding: JpegCoding | None) -> ImageFacts:
    frames = pages or _count_frames(image)
    return ImageFacts(
        format=found,
        stored=Size(*image.size),
        orientation=_orientation(image, found, data),
        mode=image.mode,
        frames=frames,
        coefficient_bytes=_coefficient_bytes(Size(*image.size), coding),
        keyed="transparency" in image.info,
        native=found in _NATIVE and (frames == 1 or found == JPEG) and _is_plain(image, found, data, coding),
    )


def _count_frames(image: Image.Image) -> int:
    """How many frames or pages; 2 where a later one is broken, which is no fault of the first."""
    try:
        return int(getattr(image, "n_frames", 1))
    except ImageError:
        raise
    except Exception:  # noqa: BLE001 - as at every codec boundary
        return 2


def _orientation(image: Image.Image, found: Format, data: bytes) -> int:
    """The EXIF orientation, 1 where there is none or it makes no sense; broken EXIF is no reason to refuse pixels.

    Pillow gives a TIFF's size, and later its pixels, upright already.
    """
    if found == TIFF:
        return UPRIGHT
    try:
        if found == PNG:
            image.info["exif"] = png_exif(data)  # else Pillow decodes the picture in search of it
        orientation = image.getexif().get(_ORIENTATION_TAG, UPRIGHT)
    except Exception:  # noqa: BLE001 - as at every codec boundary
        return UPRIGHT
    return orientation if orientation in range(1, 9) else UPRIGHT


def _is_plain(image: Image.Image, found: Format, data: bytes, coding: JpegCoding | None) -> bool:
    """8 bit, grey or RGB, and for JPEG a coding that every decoder knows (baseline, extended or progressive)."""
    if found == PNG:
        return data[24] <= _EIGHT_BITS
    return coding is None or (image.mode in {"L", "RGB"} and coding.frame in _JPEG_PLAIN_FRAMES)


def _coefficient_bytes(stored: Size, coding: JpegCoding | None) -> int:
    """Two bytes for each sample, where a JPEG must be held whole."""
    if coding is None or _in_one_scan(coding):
        return 0
    return ceil(2 * coding.samples_a_pixel * stored.pixels)


def _in_one_scan(coding: JpegCoding | None) -> bool:
    return coding is not None and coding.frame in _JPEG_SEQUENTIAL_FRAMES and coding.one_scan


def _check_size(size: Size, limits: SourceLimits) -> None:
    if min(size) < 1:
        raise ImageError(ErrorCode.IMAGE_UNDECODABLE, f"the picture is {size} px; each side must be at least 1 px")
    if size.pixels > limits.max_pixels:
        raise _too_many_pixels(f"{size} px", size.pixels, limits.max_pixels)
    if max(size) > limits.max_side_px:
        raise _too_large(
            f"the longer side of {size} px is over {limits.max_side_px} px, the limit", max(size), limits.max_side_px
        )
    if max(size) > limits.max_aspect * min(size):
        raise _too_large(
            f"the longer side of {size} px is over {limits.max_aspect} times the shorter, the limit",
            round(max(size) / min(size)),
            limits.max_aspect,
        )


def _check_frames(frames: int, limits: SourceLimits) -> None:
    if frames > limits.max_frames:
        raise _too_large(f"more than {limits.max_frames} frames, the limit", frames, limits.max_frames)


def _check_scans(data: bytes, limits: SourceLimits) -> bool:
    """Whether a JPEG is bare, unless it has so many scans that decoding it would take minutes.

    Raises:
        ImageError: `image_too_many_pixels`.
    """
    walked = walk_jpeg(data)
    if walked is not None:
        scans = walked.scans
    else:  # nobody can tell what a decoder makes of it
        scans = data.count(_START_OF_SCAN)
        if scans > limits.max_jpeg_scans:
            scans = data.count(_START_OF_SCAN, 0, jpeg_end(data))
    if scans > limits.max_jpeg_scans:
        raise _too_large(f"{scans} JPEG scans; the limit is {limits.max_jpeg_scans}", scans, limits.max_jpeg_scans)
    return walked is not None and walked.kept_bytes == len(data)


def _too_many_pixels(what: str, pixels: int, limit: int) -> ImageError:
    """Both numbers to the last pixel: rounded they may look the same."""
    return _too_large(f"{what} is {pixels / 1e6:.9g} megapixels; the limit is {limit / 1e6:.9g}", pixels, limit)


def _too_large(message: str, actual: int, limit: int) -> ImageError:
    return ImageError(
        ErrorCode.IMAGE_TOO_MANY_PIXELS,
        message,
        actual=actual,
        limit=limit,
        hint="crop the picture or scale it down before sending it",
    )
