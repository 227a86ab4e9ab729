"""The pictures of the documents: `make screenshots` draws them anew, from samples that are drawn here too."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from playwright.sync_api import Page, expect

from tests.browser.acting import drop, ready
from tests.clock import MovableClock

OpenPage = Callable[..., Page]
StartService = Callable[..., httpx2.Client]

SPENDING = [("claude-sonnet-5-5", 1500), ("claude-haiku-5-5", 1200), ("claude-opus-4-8", 600)]


@pytest.fixture
def into() -> Path:
    """The folder that the pictures go to; without it nothing here is collected."""
    return Path(os.environ["DRAW_INTO"])


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A valley of 12 megapixels and a receipt."""
    folder = tmp_path_factory.mktemp("samples")
    _valley(4032, 3024).save(folder / "valley.jpg", quality=92)
    _receipt().save(folder / "receipt.png")
    return [folder / "valley.jpg", folder / "receipt.png"]


def test_the_playground_is_drawn(open_page: OpenPage, samples: list[Path], into: Path) -> None:
    page = open_page(viewport={"width": 1200, "height": 860})
    drop(page, *samples)
    ready(page, 2)
    page.get_by_label("Prompt").fill("What did they have for lunch, and where?")
    page.get_by_role("button", name="Ask Claude").click()
    expect(page.locator("#answer-bill")).to_contain_text("tokens in")
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")

    _draw(page, into / "playground.png")


def test_before_and_after_are_drawn(open_page: OpenPage, samples: list[Path], into: Path) -> None:
    page = open_page(viewport={"width": 960, "height": 600}, color_scheme="dark")
    drop(page, *samples)
    ready(page, 2)
    page.get_by_role("button", name="Compare valley.jpg").click()
    expect(page.get_by_alt_text("The original")).to_be_visible()
    for _ in range(5):
        page.get_by_role("button", name="Larger").click()

    _draw(page, into / "before-and-after.png")


def test_the_playground_on_a_phone_is_drawn(open_page: OpenPage, samples: list[Path], into: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    drop(page, *samples)
    ready(page, 2)
    page.evaluate("scrollTo(0, 0)")

    _draw(page, into / "phone.png")


def test_the_usage_page_is_drawn(
    open_page: OpenPage, start_service: StartService, clock: MovableClock, photo: Callable[..., bytes], into: Path
) -> None:
    service = start_service(clock=clock)
    for day in range(10):
        for model, width in SPENDING[: 1 + day % len(SPENDING)]:
            form = {"model": model}
            service.post("/v1/analyze", files={"image": photo(width, 300 + 50 * day)}, data=form).raise_for_status()
        clock.move(86_400)
    page = open_page("/usage", of=service, viewport={"width": 1200, "height": 1100})
    page.get_by_role("radio", name="Ever").check()
    expect(page.locator("#by-day rect.bar")).to_have_count(10)

    _draw(page, into / "usage.png")


def _draw(page: Page, path: Path) -> None:
    """The window, in 128 colours: a page has few, and the file is a fraction."""
    page.screenshot(path=path)
    with Image.open(path) as shot:
        shot.convert("RGB").quantize(128).save(path, optimize=True)
    assert path.stat().st_size > 10_000


def _valley(width: int, height: int) -> Image.Image:
    """Mountains in the evening, each range nearer and darker, with grain as a sensor leaves it."""
    rng = random.Random(7)  # noqa: S311 - a picture
    size = (width, height)
    top, bottom = (Image.new("RGB", size, colour) for colour in ((92, 132, 168), (255, 205, 150)))
    ramp = Image.linear_gradient("L").transform(size, Image.Transform.EXTENT, (0, 0, 256, 256))
    picture = Image.composite(bottom, top, ramp)
    draw = ImageDraw.Draw(picture)
    sun = (width * 0.68, height * 0.34, height * 0.07)
    draw.circle(sun[:2], sun[2], fill=(255, 241, 214))
    for nearness in range(6):
        y, step = height * (0.42 + nearness * 0.1), width // (18 + 14 * nearness)
        ridge = [
            (x, y + rng.uniform(-1, 1) * height * (0.075 - nearness * 0.007)) for x in range(0, width + step, step)
        ]
        shade = (126 - nearness * 20, 138 - nearness * 17, 150 - nearness * 19)
        draw.polygon([(0, height), *ridge, (width, height)], fill=shade)
    grain = Image.effect_noise(size, 60).convert("RGB")
    return Image.blend(picture.filter(ImageFilter.GaussianBlur(1.5)), grain, 0.06)


def _receipt() -> Image.Image:
    """A receipt of a place that does not exist."""
    lines = [
        "CAFE AM SEE",
        "",
        "2 Soup of the day    11.80",
        "1 Bread               2.40",
        "2 Coffee              6.20",
    ]
    lines += ["", "Total                20.40", "", "Thank you"]
    picture = Image.new("RGB", (1100, 1500), "#fffdf7")
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((110, 140 + number * 130), line, fill="#22262b", font=ImageFont.load_default(56))
    return picture
