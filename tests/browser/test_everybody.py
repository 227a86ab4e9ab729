"""The pages for everybody: on a phone, in the dark, with a screen reader, as axe judges it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.acting import drop, ready, tile
from tests.conftest import ADMIN

OpenPage = Callable[..., Page]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DARK = {"color_scheme": "dark"}


def serious_faults(page: Page) -> list[str]:
    """What axe finds serious or worse: the rule and the first element."""
    found = cast("list[Any]", Axe().run(page).response["violations"])  # pyright: ignore[reportUnknownMemberType]
    bad = [each for each in found if each["impact"] in {"serious", "critical"}]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in bad]


def fill_page(page: Page, *files: Path) -> None:
    """Everything that the playground can show at once: pictures, one of them broken, an answer, the comparison."""
    drop(page, *files)
    ready(page, len(files))
    page.get_by_label("Prompt").fill("What is this?")
    page.get_by_role("button", name="Ask Claude").click()
    expect(page.locator("#answer-bill")).to_contain_text("tokens in")
    page.get_by_text("The whole answer as JSON").click()
    page.locator("#compare summary").click()
    expect(page.locator("button.cell")).to_have_count(18 * 5)
    page.get_by_label("Extract data").check()
    page.locator("summary", has_text="JSON Schema").click()


@pytest.mark.parametrize("options", [{}, DARK, {**PHONE, **DARK}], ids=["light", "dark", "dark phone"])
def test_axe_finds_nothing_serious_in_the_playground(
    open_page: OpenPage, screenshot: Path, broken: Path, options: dict[str, object]
) -> None:
    page = open_page(**options)
    assert serious_faults(page) == []

    fill_page(page, screenshot)
    drop(page, broken)
    expect(tile(page, "broken.png").get_by_role("alert")).to_be_visible()
    assert serious_faults(page) == []

    page.get_by_role("button", name="Compare okta").click()
    assert serious_faults(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Enter a key").click()
    assert serious_faults(page) == []


@pytest.mark.parametrize("options", [{}, DARK], ids=["light", "dark"])
def test_axe_finds_nothing_serious_in_the_usage_page(
    open_page: OpenPage, service: httpx2.Client, screenshot: Path, options: dict[str, object]
) -> None:
    service.post("/v1/analyze", files={"image": screenshot.read_bytes()}).raise_for_status()
    page = open_page("/usage", **options)
    expect(page.locator("#ledger table")).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()

    assert serious_faults(page) == []


def test_a_phone_scrolls_in_one_direction_only(open_page: OpenPage, screenshot: Path, small_heic: Path) -> None:
    page = open_page(**PHONE)

    fill_page(page, screenshot, small_heic)

    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Compare okta").click()
    expect(page.get_by_role("dialog")).to_be_in_viewport(ratio=1)


def test_the_usage_page_fits_a_phone(open_page: OpenPage, service: httpx2.Client, screenshot: Path) -> None:
    service.post("/v1/analyze", files={"image": screenshot.read_bytes()}).raise_for_status()
    page = open_page("/usage", **PHONE)
    expect(page.locator("#ledger table")).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("path", ["/", "/usage"])
def test_the_pages_follow_the_dark_mode_of_the_system(open_page: OpenPage, path: str) -> None:
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + Number(b), 0)"

    assert open_page(path, color_scheme="light").evaluate(brightness) > 700
    assert open_page(path, color_scheme="dark").evaluate(brightness) < 100


@pytest.mark.parametrize("path", ["/", "/usage"])
def test_what_has_focus_is_seen(open_page: OpenPage, path: str) -> None:
    page = open_page(path)
    unseen: list[str] = []
    for _ in range(12):
        page.keyboard.press("Tab")
        unseen += page.evaluate(
            """() => {
                const at = document.activeElement;
                const drawn = at.matches(".segments input") ? at.nextElementSibling : at;
                return getComputedStyle(drawn).outlineStyle === "none" ? [at.outerHTML] : [];
            }"""
        )

    assert unseen == []


def test_news_is_told_to_screen_readers(open_page: OpenPage, quick: httpx2.Client) -> None:
    page = open_page(of=quick)
    dialog = page.get_by_role("dialog", name="Your key")

    expect(dialog.get_by_role("alert")).to_contain_text("no key was sent")
    dialog.get_by_label("Key of this service").fill(ADMIN)
    dialog.get_by_role("button", name="Use this key").click()
    for place in ("#price", "#answer-body"):
        expect(page.locator(place)).to_have_attribute("aria-live", "polite")
    for place in ("#answer-status", "#pictures-status", "#send-note"):
        expect(page.locator(place)).to_have_attribute("role", "status")
    expect(page.locator("#answer-error")).to_have_attribute("role", "alert")
