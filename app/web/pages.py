"""GET /, GET /usage, GET /static/...: the pages that people open, from memory, with the headers that confine them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from app.errors import AppError, ErrorCode

_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

HEADERS = {
    # nothing but this service's own files, and pictures that the page holds itself
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    # names carry no version, so a browser asks each time, and is told in 100 bytes that nothing changed
    "cache-control": "no-cache",
}

IfNoneMatch = Annotated[str | None, Header()]

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is served; `etag` follows its bytes, so that every process and installation agrees on it."""

    content: bytes
    media_type: str
    etag: str


@router.head("/")
@router.get("/")
async def playground(request: Request, if_none_match: IfNoneMatch = None) -> Response:
    """The playground."""
    return _served(request, "playground.html", if_none_match)


@router.head("/usage")
@router.get("/usage")
async def usage_page(request: Request, if_none_match: IfNoneMatch = None) -> Response:
    """The usage page; it is public, what it shows takes a key."""
    return _served(request, "usage.html", if_none_match)


@router.head("/static/{path:path}")
@router.get("/static/{path:path}")
async def static_file(request: Request, path: str, if_none_match: IfNoneMatch = None) -> Response:
    """A script, a style sheet or a picture of the pages."""
    return _served(request, path, if_none_match)


def _served(request: Request, path: str, if_none_match: str | None) -> Response:
    """The file, or 304 where the client has it.

    Raises:
        AppError: `unknown_route`.
    """
    file = _static().get(path)
    if file is None:
        raise AppError(ErrorCode.UNKNOWN_ROUTE, f"there is no GET {request.url.path} here", hint="GET / is the page")
    headers = {**HEADERS, "etag": file.etag}
    if if_none_match is not None and file.etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


@cache
def _static() -> dict[str, _File]:
    """Every file by its path below `static`: read once, so that serving one waits for no disk and no thread."""
    return dict(_read(files("app.web").joinpath("static")))


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, _File]]:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _read(entry, f"{path}/")
        elif media_type := _MEDIA_TYPES.get(entry.name.rpartition(".")[2]):
            content = entry.read_bytes()
            yield path, _File(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')
