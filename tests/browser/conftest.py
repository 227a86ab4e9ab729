"""Debian's Chromium before the service on a real port; every page is watched for what it may never do."""

import os
import shutil
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE_MS = 30_000

OpenPage = Callable[..., Page]

collect_ignore = [] if "DRAW_INTO" in os.environ else ["test_screenshots.py"]  # drawing tests nothing


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """One Chromium for the tests of a file; Playwright's loop, while it is there, is in the way of all other tests."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine; `make test` installs Debian's where it may (as root)")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser, service: httpx2.Client) -> Generator[OpenPage]:
    """Opens a page of a service in a context of its own: `open_page("/usage", of=other, color_scheme="dark")`."""
    with ExitStack() as opened:

        def open_(path: str = "/", of: httpx2.Client = service, **context: object) -> Page:
            return opened.enter_context(_watched(browser, str(of.base_url).rstrip("/"), path, context))

        yield open_


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The playground."""
    return open_page()


@contextmanager
def _watched(browser: Browser, origin: str, path: str, options: dict[str, object]) -> Generator[Page]:
    """A page; once the test is over, nothing it did may have left the origin, broken the policy or failed."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})  # pyright: ignore[reportArgumentType]
    context.set_default_timeout(PATIENCE_MS)
    requested: list[str] = []
    complaints: list[str] = []
    heard: list[tuple[str, str]] = []
    page = context.new_page()
    context.on("request", lambda request: requested.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: heard.append((message.type, message.text)))
    try:
        page.goto(origin + path)
        yield page
    finally:
        context.close()
    foreign = [url for url in requested if not url.startswith((f"{origin}/", f"blob:{origin}/"))]
    assert foreign == []
    # a browser reports each refused request as an error of its own; the pages tell of them in better words
    complaints += [text for kind, text in heard if kind in {"error", "warning"}]
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []


@pytest.fixture(scope="session")
def heic(corpus: Path) -> Path:
    """A photograph of 12 megapixels as a phone takes it."""
    return corpus / "heif" / "pug.heic"


@pytest.fixture(scope="session")
def jpeg(photo: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG of 12 megapixels."""
    path = tmp_path_factory.mktemp("pictures") / "camera.jpg"
    path.write_bytes(photo(4032, 3024))
    return path


@pytest.fixture(scope="session")
def screenshot(corpus: Path) -> Path:
    """A screenshot as a PNG."""
    return corpus / "screenshots" / "okta_authorization_server.png"


@pytest.fixture(scope="session")
def broken(corpus: Path) -> Path:
    """A file that nobody can decode."""
    return corpus / "hostile" / "broken.png"


@pytest.fixture(scope="session")
def small_heic(corpus: Path) -> Path:
    """A small picture of a kind that no browser here shows."""
    return corpus / "heif" / "zPug_3.heic"
