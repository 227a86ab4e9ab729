"""Pictures by URL: refused, downloaded and prepared, or left to the vendor, as the operator says."""

from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Thread
from typing import Any

import httpx2
import pytest

from app.fetch import Fetcher, FetchLimits, FetchPolicy

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]


class PictureServer(ThreadingHTTPServer):
    """Serves whatever `files` holds by path, on loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, PictureServer)
        data = self.server.files.get(self.path)
        self.send_response(404 if data is None else 200)
        self.send_header("content-length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        """Nothing: a test's output is for failures."""


@pytest.fixture
def pictures() -> Generator[PictureServer]:
    with PictureServer() as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@pytest.fixture
def fetching(start_service: StartService, pictures: PictureServer) -> httpx2.Client:
    """A service that fetches, and may reach the picture server of this test."""
    policy = FetchPolicy(
        schemes=frozenset({"http"}),
        ports=frozenset({pictures.server_port}),
        more_addresses=frozenset({ip_address("127.0.0.1")}),
    )
    return start_service(url_images="fetch", fetcher=Fetcher(FetchLimits(), policy))


def url_block(url: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "url", "url": url}}


def messages(*blocks: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-5-5", "max_tokens": 300, "messages": [{"role": "user", "content": list(blocks)}]}


def test_a_picture_by_url_is_fetched_and_prepared(
    fetching: httpx2.Client, pictures: PictureServer, photo: Maker
) -> None:
    pictures.files["/a.tif"] = photo(3000, 2000, "TIFF")

    answer = fetching.post("/v1/analyze", json={"image_url": f"{pictures.url}/a.tif"}).json()

    [image] = answer["images"]
    assert (image["source"], image["original"]["media_type"], image["sent"]["width_px"]) == ("url", "image/tiff", 2352)


def test_uploads_and_urls_keep_the_order_of_the_form(
    fetching: httpx2.Client, pictures: PictureServer, photo: Maker
) -> None:
    pictures.files["/a.jpg"] = photo(60, 40)
    parts: list[tuple[str, Any]] = [
        ("image", ("b.png", photo(30, 20, "PNG"))),
        ("image_url", (None, f"{pictures.url}/a.jpg")),
        ("image", ("c.png", photo(40, 20, "PNG"))),
    ]

    images = fetching.post("/v1/analyze", files=parts).json()["images"]

    assert [(image["label"], image["original"]["width_px"]) for image in images] == [
        ("Image 1", 30),
        ("Image 2", 60),
        ("Image 3", 40),
    ]


def test_a_url_in_a_drop_in_request_is_fetched_too(
    fetching: httpx2.Client, pictures: PictureServer, photo: Maker
) -> None:
    pictures.files["/a.jpg"] = photo(3000, 2000)

    response = fetching.post(
        "/v1/messages", json=messages(url_block(f"{pictures.url}/a.jpg")), headers={"x-vision-proxy-report": "full"}
    )

    assert response.json()["images"][0]["source"] == "url"
    assert response.headers["x-vision-proxy-image-tokens"] == "4704"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://169.254.169.254/latest/meta-data/", "url_blocked"),
        ("http://localhost/", "url_blocked"),
        ("ftp://example.org/a.png", "url_blocked"),
        ("not a url", "url_blocked"),
    ],
)
def test_an_address_that_is_not_public_is_refused(start_service: StartService, url: str, code: str) -> None:
    response = start_service(url_images="fetch").post("/v1/analyze", json={"image_url": url})

    error = response.json()["error"]
    assert (response.status_code, error["details"]["error_code"]) == (400, code)
    assert error["message"].startswith("image 1: ")


def test_a_missing_picture_is_unreachable_and_named_by_its_place(
    fetching: httpx2.Client, pictures: PictureServer, photo: Maker
) -> None:
    pictures.files["/a.jpg"] = photo(60, 40)
    urls = [f"{pictures.url}/a.jpg", f"{pictures.url}/missing.jpg?signature=secret"]

    response = fetching.post("/v1/analyze", json={"image_url": urls})

    error = response.json()["error"]
    assert (error["details"]["error_code"], error["details"]["image"]) == ("url_unreachable", 2)
    assert "404" in error["message"]
    assert "secret" not in response.text


def test_pictures_by_url_are_capped_together(
    start_service: StartService, pictures: PictureServer, photo: Maker
) -> None:
    policy = FetchPolicy(frozenset({"http"}), frozenset({pictures.server_port}), frozenset({ip_address("127.0.0.1")}))
    service = start_service(url_images="fetch", fetcher=Fetcher(FetchLimits(), policy), max_body_bytes=100_000)
    pictures.files["/a.jpg"] = photo(400, 300)

    response = service.post("/v1/analyze", json={"image_url": [f"{pictures.url}/a.jpg"] * 9})

    assert response.json()["error"]["details"]["error_code"] == "url_too_large"


def test_too_many_urls_are_refused_before_one_is_fetched(fetching: httpx2.Client, pictures: PictureServer) -> None:
    response = fetching.post("/v1/analyze", json={"image_url": [f"{pictures.url}/missing.jpg"] * 601})

    assert response.json()["error"]["details"]["error_code"] == "too_many_images"


@pytest.mark.parametrize("mode", ["off", "passthrough"])
def test_on_the_drop_in_endpoint_a_url_passes_where_it_is_not_fetched(
    recorded: httpx2.Client, start_service: StartService, wire: Any, mode: str
) -> None:
    block = url_block("https://example.org/a.png")
    service = start_service(str(recorded.base_url), url_images=mode) if mode == "passthrough" else recorded

    service.post("/v1/messages", json=messages(block))

    assert wire.last_request["messages"][0]["content"] == [block]


def test_off_refuses_a_url_where_many_images_need_their_pixels(service: httpx2.Client) -> None:
    response = service.post("/v1/messages", json=messages(*[url_block("https://example.org/a.png")] * 21))

    assert (response.status_code, response.json()["error"]["details"]["error_code"]) == (400, "url_images_off")


def test_passthrough_leaves_a_native_url_to_the_vendor_and_says_so(start_service: StartService, photo: Maker) -> None:
    service = start_service(url_images="passthrough")
    parts: list[tuple[str, Any]] = [
        ("image", ("a.jpg", photo(64, 48))),
        ("image_url", (None, "https://example.org/a.png")),
    ]

    estimate = service.post("/v1/estimate", files=parts).json()

    assert [warning["code"] for warning in estimate["warnings"]] == ["url_passed_through"]
    assert estimate["cost"]["upper_bound_usd"] is None
