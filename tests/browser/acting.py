"""What a person does on the pages, in words of theirs."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Locator, Page, Request, Route, expect

_DROP = """files => {
    const carried = new DataTransfer();
    for (const [name, data] of files) {
        carried.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
    }
    const options = { dataTransfer: carried, bubbles: true, cancelable: true };
    document.body.dispatchEvent(new DragEvent("dragover", options));
    document.body.dispatchEvent(new DragEvent("drop", options));
}"""

_PASTE = _DROP.replace('"dragover", options', '"dragend"').replace(
    'new DragEvent("drop", options)', 'new ClipboardEvent("paste", { clipboardData: carried, bubbles: true })'
)


def drop(page: Page, *files: Path) -> None:
    """Drops files onto the page, as from a file manager."""
    page.evaluate(_DROP, _encoded(files))


def paste(page: Page, *files: Path) -> None:
    """Pastes files into the page."""
    page.evaluate(_PASTE, _encoded(files))


def tile(page: Page, name: str) -> Locator:
    """The tile of that picture."""
    return page.locator("li.tile", has=page.locator(".tile-name", has_text=name))


def ready(page: Page, count: int = 1) -> None:
    """Waits until that many pictures are prepared and the price of them all is known."""
    expect(page.locator('li.tile[data-state="ready"]')).to_have_count(count)
    expect(page.locator("#price .figure")).to_be_visible()


def names(page: Page) -> list[str]:
    """The pictures in order."""
    return page.locator(".tile-name").all_inner_texts()


def answer_with(page: Page, path: str, body: Mapping[str, object], status: int = 200) -> list[Request]:
    """Has the service's answer at that path stand in for another one; gives the requests that were made."""
    asked: list[Request] = []

    def fulfil(route: Route) -> None:
        asked.append(route.request)
        route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

    page.route(f"**{path}", fulfil)
    return asked


def stream_with(page: Page, path: str, body: Mapping[str, object], event: str = "done") -> list[Request]:
    """As `answer_with`, with a stream that consists of that event."""
    asked: list[Request] = []

    def fulfil(route: Route) -> None:
        asked.append(route.request)
        events = f"event: {event}\ndata: {json.dumps(body)}\n\n"
        route.fulfill(status=200, content_type="text/event-stream", body=events)

    page.route(f"**{path}", fulfil)
    return asked


def _encoded(files: tuple[Path, ...]) -> list[list[str]]:
    return [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
