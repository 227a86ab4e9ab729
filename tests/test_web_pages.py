"""The files of the pages: public, confined to this service by headers, and not sent twice."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

STATIC = Path(__file__).parents[1] / "app" / "web" / "static"
FILES = sorted(str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.is_file())

StartService = Callable[..., httpx2.Client]


def test_the_pages_need_no_key_where_everything_else_does(quick: httpx2.Client) -> None:
    paths = ["/", "/usage", *(f"/static/{name}" for name in FILES)]

    assert {path: quick.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)
    assert quick.get("/v1/models").status_code == 401


@pytest.mark.parametrize("path", ["/", "/usage", "/static/playground/main.js"])
def test_a_page_is_confined_to_this_service(service: httpx2.Client, path: str) -> None:
    headers = service.get(path).headers

    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/shared/page.css", "text/css; charset=utf-8"),
        ("/static/shared/api.js", "text/javascript; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_has_its_type_and_is_not_sent_again_to_whoever_has_it(
    service: httpx2.Client, path: str, media_type: str
) -> None:
    first = service.get(path)
    again = service.get(path, headers={"if-none-match": first.headers["etag"]})
    head = service.head(path)

    assert (first.headers["content-type"], first.headers["cache-control"]) == (media_type, "no-cache")
    assert (again.status_code, again.content) == (304, b"")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", first.headers["etag"])
    assert service.get(path, headers={"if-none-match": '"another"'}).status_code == 200


@pytest.mark.parametrize("path", ["/static/", "/static/nothing.js", "/static/../pages.py", "/static/%2e%2e/pages.py"])
def test_nothing_else_is_served(service: httpx2.Client, path: str) -> None:
    answer = service.get(path)

    assert (answer.status_code, answer.json()["error"]["details"]["error_code"]) == (404, "unknown_route")


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host_or_carries_style_or_script_in_its_markup(name: str) -> None:
    text = (STATIC / name).read_text("utf-8")

    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s\"'`]+", text) == []
    if name.endswith(".html"):
        assert re.findall(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=", text) == []
    if name.endswith(".js"):
        assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage", text) == []
