"""/v1/files: the vendor's own endpoints under ids of this service, each caller's files for that caller alone."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from app.domain import Caller
from app.errors import AppError, ErrorCode, UpstreamError
from app.pipeline.filing import (
    MAX_IDS,
    FilesCall,
    Listing,
    NewFile,
    delete_file,
    list_files,
    open_content,
    pick_files,
    show_file,
    store_file,
)
from app.web.bodies import read_chunks
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.documentation import page_limit, relayed
from app.web.forms import FormPart, read_form
from app.web.gate import room_of
from app.web.reading import forwarded_headers
from app.web.relay import passed_back, refused

router = APIRouter(tags=["drop-in"])

DEFAULT_PAGE = 20
MAX_PAGE = 1_000
"""Files per page. Source of both: anthropic 2.12.0, resources/files.py."""

_CURSOR = re.compile(r"page_(file_[0-9a-f]{35})")
_LIST_FIELDS = frozenset({"limit", "page", "ids", "ids[]"})

_JSON = "application/json"

_UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "expires_in_seconds": {"type": "integer", "minimum": 3_600, "maximum": 7_776_000},
                    },
                }
            }
        },
    }
}
_LIST_QUERY: dict[str, Any] = {
    "parameters": [
        page_limit(DEFAULT_PAGE, MAX_PAGE),
        {"name": "page", "in": "query", "schema": {"type": "string"}, "description": "`next_page` of the page before."},
        {
            "name": "ids[]",
            "in": "query",
            "schema": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_IDS},
            "description": "Only these; without `limit` and `page`.",
        },
    ]
}


async def _open_things() -> AsyncGenerator[AsyncExitStack]:
    """What a route opens for its answer; closed once that has been sent, or nobody waits for it any more."""
    async with AsyncExitStack() as opened:
        yield opened


@router.post("/v1/files", summary="Keep a file at the vendor's", openapi_extra=_UPLOAD_BODY, responses=relayed())
async def upload_file(request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf) -> Response:
    """A picture of any readable format is prepared once, for every model; other files go as they are."""
    content_type = request.headers.get("content-type", "")
    with services.observer.step("receive"):
        chunks = read_chunks(request, settings.max_body_bytes)
        file = _received(await read_form(chunks, content_type, settings.max_body_bytes))
    try:
        reply = await store_file(file, settings.max_image_bytes, _call(request, caller), services)
    except UpstreamError as error:
        return refused(error, request)
    return Response(reply.content, headers=passed_back(reply.headers))


@router.get("/v1/files", summary="The caller's files", openapi_extra=_LIST_QUERY, responses=relayed())
async def show_files(request: Request, caller: CallerOf, services: ServicesOf) -> Response:
    """Newest first, paged as the vendor pages."""
    query = request.query_params
    ids = [*query.getlist("ids[]"), *query.getlist("ids")]
    call = _call(request, caller)
    try:
        if ids:
            listing = await pick_files(_read_ids(request, ids), call, services)
        else:
            limit, before = _read_limit(query.get("limit")), _read_cursor(query.get("page"))
            listing = await list_files(limit, before, call, services)
    except UpstreamError as error:
        return refused(error, request)
    return Response(_list_json(listing), headers=passed_back(listing.headers), media_type=_JSON)


@router.get("/v1/files/{file_id}", summary="What is known of a file", responses=relayed())
async def get_file(request: Request, file_id: str, caller: CallerOf, services: ServicesOf) -> Response:
    """The vendor's description of it."""
    try:
        reply = await show_file(file_id, _call(request, caller), services)
    except UpstreamError as error:
        return refused(error, request)
    return Response(reply.content, headers=passed_back(reply.headers))


@router.delete("/v1/files/{file_id}", summary="Remove a file", responses=relayed())
async def remove_file(request: Request, file_id: str, caller: CallerOf, services: ServicesOf) -> Response:
    """At the vendor's, then here."""
    try:
        reply = await delete_file(file_id, _call(request, caller), services)
    except UpstreamError as error:
        return refused(error, request)
    return Response(reply.content, headers=passed_back(reply.headers))


@router.get("/v1/files/{file_id}/content", summary="A file's bytes", responses=relayed())
async def get_content(
    request: Request,
    file_id: str,
    caller: CallerOf,
    services: ServicesOf,
    opened: Annotated[AsyncExitStack, Depends(_open_things)],
) -> Response:
    """As the vendor sends them; what was uploaded it does not give back."""
    try:
        content = await opened.enter_async_context(open_content(file_id, _call(request, caller), services))
    except UpstreamError as error:
        return refused(error, request)
    harmless = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}  # be it a page with a script
    return StreamingResponse(content.chunks(), headers={**passed_back(content.headers), **harmless})


def _call(request: Request, caller: Caller) -> FilesCall:
    """Whose the files are, and what goes on; what a list asks for is asked of our own table."""
    query = urlencode([(name, value) for name, value in request.query_params.multi_items() if name not in _LIST_FIELDS])
    return FilesCall(caller.id, forwarded_headers(request), query, room_of(request))


def _received(parts: Sequence[FormPart]) -> NewFile:
    """The one file of the form and its other fields, which are the vendor's to judge."""
    files = [part for part in parts if part.name == "file"]
    others = [part for part in parts if part.name != "file"]
    if len(files) != 1:
        raise AppError(
            ErrorCode.INVALID_REQUEST,
            f"{len(files)} form parts named `file`; send exactly one",
            field="file",
            hint="with curl write -F file=@photo.jpg",
        )
    for part in others:
        if part.is_file:
            raise AppError(ErrorCode.INVALID_REQUEST, f"{part.name[:100]}: the one file goes into `file`", field="file")
    [file] = files
    fields = {part.name: part.data.decode("utf-8", "replace") for part in others}
    return NewFile(file.filename, file.media_type, file.data, fields)


def _read_ids(request: Request, given: Sequence[str]) -> set[str]:
    ids = set(given)
    if "limit" in request.query_params or "page" in request.query_params:
        raise AppError(ErrorCode.INVALID_REQUEST, "ids cannot be combined with page or limit", field="ids")
    if len(ids) > MAX_IDS:
        message = f"ids: {len(ids)} ids; the limit is {MAX_IDS}"
        raise AppError(ErrorCode.INVALID_REQUEST, message, field="ids", actual=len(ids), limit=MAX_IDS)
    return ids


def _read_limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_PAGE:
        message = f"limit: {text[:20]!r} is no whole number from 1 to {MAX_PAGE}"
        raise AppError(ErrorCode.INVALID_REQUEST, message, field="limit")
    return int(text)


def _read_cursor(text: str | None) -> str | None:
    """The id of the last file of the page before."""
    if text is None:
        return None
    cursor = _CURSOR.fullmatch(text)
    if cursor is None:
        raise AppError(ErrorCode.INVALID_REQUEST, "page: this is no `next_page` of a list of files", field="page")
    return cursor[1]


def _list_json(listing: Listing) -> bytes:
    next_page = None if listing.last_id is None else f"page_{listing.last_id}"
    return msgspec.json.encode({"data": listing.entries, "next_page": next_page})
