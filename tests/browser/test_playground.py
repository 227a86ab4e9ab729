"""The playground as people use it: pictures in, their price before, the answer after."""

import base64
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

OpenPage = Callable[..., Page]


def drop(page: Page, *files: Path) -> None:
    """Drops files onto the page, as from a file manager."""
    encoded = [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
    page.evaluate(
        """files => {
            const carried = new DataTransfer();
            for (const [name, data] of files) {
                carried.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
            }
            const options = { dataTransfer: carried, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent("drop", options));
        }""",
        encoded,
    )


def tile(page: Page, name: str) -> Locator:
    """The tile of that picture."""
    return page.locator("li.tile", has=page.locator(".tile-name", has_text=name))


def test_pictures_that_are_dropped_are_priced_and_the_answer_streams(
    page: Page, heic: Path, jpeg: Path, screenshot: Path
) -> None:
    drop(page, heic, jpeg, screenshot)

    expect(tile(page, "pug.heic")).to_contain_text("4032\u00d73024 \u2192 2212\u00d71659 px")
    expect(tile(page, "camera.jpg")).to_contain_text("4032\u00d73024 \u2192 2212\u00d71659 px")
    expect(tile(page, "okta")).to_contain_text("637\u00d7406 px")
    expect(page.locator("#price")).to_contain_text("9,825 tokens")
    expect(page.locator("#price .figure")).to_have_text(re.compile(r"^\$0\.01\d+ to send, on claude-sonnet-5-5$"))

    page.get_by_label("Prompt").fill("What is this?")
    page.get_by_role("button", name="Ask Claude").click()

    expect(page.locator(".answer-text")).to_contain_text("[sandbox] No model ran.")
    expect(page.locator("#answer-status")).to_contain_text("From the sandbox: no model ran.")
    expect(page.locator("#session-total")).to_have_text(re.compile(r"^\$0\.02\d+, 1 request$"))
