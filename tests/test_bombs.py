"""Files made to cost: each is answered or refused within its limits, beside a service that goes on as if nothing were.

The service is a process of its own, so that /proc can say what it and its workers take. A limit of processor time ends
what would run too long, for that is the same on a busy machine.
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests import bombs
from tests.processes import Running, all_end, running_service, statuses

WORKERS = 2
ADMITTED_BYTES = 700_000_000
PROCESSES_BYTES = 350_000_000
"""What the service, its fork server and two workers take before any picture; what they share counts for each."""

BUDGET_BYTES = PROCESSES_BYTES + ADMITTED_BYTES * 3 // 2 + WORKERS * 128_000_000
"""A worker may take half more than was admitted, and 128 MB; then its codec gets no more."""

Maker = Callable[..., bytes]
Bomb = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What a bomb got for an answer, and how the service was while it was worked on and after."""

    status: int
    error_code: str | None
    sentence: str
    livez_answered: bool = True
    within_budget: bool = True
    ready: int = 200
    next_picture: int = 200
    workers: int = WORKERS


@pytest.fixture(scope="module")
def besieged() -> Generator[Running]:
    """A service that gives each picture two seconds of processor time."""
    with running_service(image_workers=WORKERS, image_cpu_s=2, image_memory_bytes=ADMITTED_BYTES) as service:
        service.client.get("/readyz").raise_for_status()
        yield service


def attack(service: Running, *files: bytes) -> tuple[list[httpx2.Response], int, int]:
    """The answers to those files, sent at once; how often /livez answered meanwhile; the most memory seen."""
    url = f"{service.client.base_url}/v1/normalize"
    answered = peak_bytes = 0
    with ThreadPoolExecutor(len(files)) as senders:
        sent = [senders.submit(httpx2.post, url, files={"image": ("bomb", data)}, timeout=60) for data in files]
        while True:
            answered += service.client.get("/livez").status_code == 200
            peak_bytes = max(peak_bytes, service.resident_bytes)
            if all(answer.done() for answer in sent):
                return [answer.result() for answer in sent], answered, peak_bytes


def aftermath(service: Running, bomb: bytes, good: bytes) -> Aftermath:
    """What becomes of one bomb, and of the next good picture."""
    [answer], answered, peak_bytes = attack(service, bomb)
    error: dict[str, Any] = answer.json()["error"] if answer.is_error else {"details": {}, "message": ""}
    return Aftermath(
        answer.status_code,
        error["details"].get("error_code"),
        error["message"].removeprefix("image 1 (bomb): "),
        answered > 0,
        peak_bytes < BUDGET_BYTES,
        service.client.get("/readyz").status_code,
        service.client.post("/v1/normalize", files={"image": ("good.tif", good)}).status_code,
        len(service.workers),
    )


TOO_LARGE: dict[str, tuple[Bomb, str]] = {
    "a JPEG of 1000 scans": (lambda: bombs.scan_bomb((800, 600), 1000), "1000 JPEG scans; the limit is 100"),
    "a JPEG of segments": (lambda: bombs.jpeg_of_segments(1_000_000), "the file consists of too many parts"),
    "a JPEG of fill bytes": (lambda: bombs.jpeg_of_fill_bytes(4_000_000), "the file consists of too many parts"),
    "a WebP of 1 GB in 42 bytes": (
        lambda: bombs.webp_of(16383, 16383),
        "the picture is 268.402689 megapixels; the limit is 250",
    ),
    "a WebP under 100 megapixels": (
        lambda: bombs.webp_of(9000, 9000),
        "9000x9000 px of image/webp take 1215 MB to decode; the limit is 537 MB",
    ),
    "a JPEG 2000 of 1.5 GB": (
        lambda: bombs.jpeg2000_of(9000, 9000),
        "9000x9000 px of image/jp2 take 1458 MB to decode; the limit is 537 MB",
    ),
    "an AVIF that says it is wide": (
        lambda: bombs.iso_media_of("AVIF", 30_000, 3_000),
        "30000x3000 px of image/avif take 810 MB to decode; the limit is 537 MB",
    ),
    "a HEIF that says it is wide": (
        lambda: bombs.iso_media_of("HEIF", 30_000, 3_000),
        "30000x3000 px of image/heic take 630 MB to decode; the limit is 537 MB",
    ),
    "a PNG of one column": (
        lambda: bombs.png_of(1, 80_000_000, depth=1),
        "the longer side of 1x80000000 px is over 30000 px, the limit",
    ),
    "a PNG of 90 megapixels, 16 bit": (
        lambda: bombs.png_of(9_000, 10_000, depth=16, colour_type=6),
        "9000x10000 px of image/png take 810 MB to decode; the limit is 537 MB",
    ),
    "a PNG of chunks behind its pixels": (
        lambda: bombs.png_of_trailing_chunks(400_000),
        "the file consists of too many parts",
    ),
    "a PNG of chunks": (lambda: bombs.png_of_chunks(400_000), "the file consists of too many parts"),
    "a GIF of 6000 frames": (lambda: bombs.gif_of_frames(6_000), "more than 5000 frames, the limit"),
    "a GIF of a million frames": (lambda: bombs.gif_of_frames(1_000_000), "the file consists of too many parts"),
    "a GIF of comments": (lambda: bombs.gif_of_extensions(2_000_000), "the file consists of too many parts"),
    "a GIF on a huge canvas": (
        lambda: bombs.gif_of_canvas(65_535, 65_535),
        "65535x65535 px is 4294.83623 megapixels; the limit is 100",
    ),
    "a TIFF of 300,000 strips": (
        lambda: bombs.tiff_of_strips(300_000),
        "the longer side of 8x300000 px is over 30000 px, the limit",
    ),
    "a BMP of a gigapixel": (
        lambda: bombs.bmp_rle_of(30_000, 30_000),
        "the picture is 900 megapixels; the limit is 250",
    ),
    "an icon of a gigapixel": (
        lambda: bombs.icon_of(30_000, 30_000),
        "30000x30000 px is 900 megapixels; the limit is 100",
    ),
    "a PDF of 100,000 pages": (
        lambda: bombs.pdf_of_pages(100_000),
        "the PDF has 100000 pages; the limit is 5000",
    ),
}

UNDECODABLE: dict[str, tuple[Bomb, str]] = {
    "a JPEG of 99 scans": (
        lambda: bombs.scan_bomb((8000, 6000), 99),
        "preparing it takes longer than 2 s of processor time, the limit",
    ),
    "a PNG of text": (
        lambda: bombs.png_with(b"zTXt", 100, 1_000_000),
        "the image/png file is broken: PNG data that cannot be read",
    ),
    "a PNG of profile": (
        lambda: bombs.png_with(b"iCCP", 1, 100_000_000),
        "the image/png file is broken: PNG data that cannot be read",
    ),
    "a TIFF of pages in a ring": (bombs.tiff_of_loop, "the image/tiff file is broken: TIFF data that cannot be read"),
    "a TIFF of the same megabyte 3000 times": (
        lambda: bombs.tiff_of_values(3_000, 1_000_000),
        "the image/tiff file is broken: TIFF data that cannot be read",
    ),
    "a BMP that leaves out its rows": (
        lambda: bombs.bmp_rle_of(9_000, 9_000),
        "the image/bmp file is broken: BMP data that cannot be read",
    ),
    "a PDF of drawing": (
        lambda: bombs.pdf_of_drawing(400_000_000),
        "the file is broken: its decoder failed",
    ),
}

HARMLESS: dict[str, Bomb] = {
    "a WebP just within": lambda: bombs.webp_of(5_900, 5_900),
    "a PNG of 100 megapixels": lambda: bombs.png_of(10_000, 10_000, colour_type=2),
    "a black and white PNG of 100 megapixels": lambda: bombs.png_of(10_000, 10_000, depth=1),
    "a GIF on a canvas of 100 megapixels": lambda: bombs.gif_of_canvas(10_000, 10_000),
    "a JPEG 2000 that declares more than it holds": lambda: bombs.jpeg2000_of(3_000, 3_000),
    "a JPEG of segments behind its pixels": lambda: bombs.jpeg_of_trailing_segments(1_000_000),
    "a TIFF whose strips are one": lambda: bombs.tiff_of_strips(1_000),
    "an icon of 65,535 entries": lambda: bombs.icon_of_entries(65_535),
    "a PDF of a page 350 km wide": lambda: bombs.pdf_of_size(1_000_000),
    "a PDF that claims a billion pages": lambda: bombs.pdf_of_claimed_pages(1_000_000_000),
    "a PDF of a picture of 400 megapixels": lambda: bombs.pdf_of_picture(11_500),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_is_too_large_is_refused_by_what_it_declares(besieged: Running, photo: Maker, name: str) -> None:
    make, sentence = TOO_LARGE[name]

    assert aftermath(besieged, make(), photo(64, 48, "TIFF")) == Aftermath(400, "image_too_many_pixels", sentence)


@pytest.mark.parametrize("name", UNDECODABLE)
def test_what_cannot_be_decoded_within_its_limits_is_refused(besieged: Running, photo: Maker, name: str) -> None:
    make, sentence = UNDECODABLE[name]

    assert aftermath(besieged, make(), photo(64, 48, "TIFF")) == Aftermath(400, "image_undecodable", sentence)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_large_but_within_its_limits_is_served(besieged: Running, photo: Maker, name: str) -> None:
    assert aftermath(besieged, HARMLESS[name](), photo(64, 48, "TIFF")) == Aftermath(200, None, "")


def test_forms_that_draw_forms_end_by_their_time_or_by_their_memory(besieged: Running, photo: Maker) -> None:
    ended = aftermath(besieged, bombs.pdf_of_forms(10, 12), photo(64, 48, "TIFF"))

    by_time = "preparing it takes longer than 2 s of processor time, the limit"
    by_memory = "the file is broken: its decoder failed"
    assert ended in [Aftermath(400, "image_undecodable", sentence) for sentence in (by_time, by_memory)]


def test_livez_answers_many_times_while_a_bomb_burns(besieged: Running) -> None:
    _, answered, _ = attack(besieged, bombs.scan_bomb((8000, 6000), 99))

    assert answered >= 20


def test_five_bombs_at_once_stay_within_the_budget(besieged: Running) -> None:
    files = [bombs.pdf_of_forms(10, 12), bombs.webp_of(5_900, 5_900)] * 2
    answers, _, peak_bytes = attack(besieged, *files, bombs.gif_of_canvas(9_900, 9_900))

    assert {answer.status_code for answer in answers} <= {200, 400, 429}
    assert peak_bytes < BUDGET_BYTES


def test_a_service_that_ends_leaves_no_process_behind() -> None:
    with running_service(image_workers=WORKERS) as service:
        service.client.post("/v1/normalize", files={"image": ("bomb", bombs.pdf_of_drawing(100_000_000))})
        fork_server, workers = service.fork_server, service.workers

    assert all_end([fork_server, *workers])
    assert [status for status in statuses() if status.session == fork_server] == []


def test_nothing_that_a_bomb_does_is_a_fault_in_the_log(besieged: Running) -> None:
    besieged.client.post("/v1/normalize", files={"image": ("bomb", bombs.pdf_of_drawing(100_000_000))})

    assert not any("Traceback" in line for line in besieged.log)
