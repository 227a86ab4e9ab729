"""The Files API: what was uploaded, in the vendor's shape. Nothing that was uploaded can be downloaded again."""

import secrets
from datetime import timedelta
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.domain import Json
from app.sandbox.attendance import visit_of
from app.sandbox.errors import invalid
from app.sandbox.faults import Fault, fail, fault_for
from app.sandbox.file_store import StoredFile
from app.sandbox.images import record_upload
from app.sandbox.paging import read_limit
from app.sandbox.reading import body_chunks, read_workspace
from app.sandbox.replies import reply_json
from app.sandbox.state import State
from app.sandbox.uploads import MAX_FORM_BYTES, Upload, read_upload

MAX_IDS = 100
"""Ids that a list may be restricted to.

Source: anthropic 2.12.0, types/file_list_params.py.
"""

CURSOR = "page_"
MAX_CURSOR_DIGITS = 20


def routes(state: State) -> list[Route]:
    """`/v1/files`, `/v1/files/{id}` and `/v1/files/{id}/content`."""
    return [
        Route("/v1/files", partial(_upload, state), methods=["POST"]),
        Route("/v1/files", partial(_list_files, state), methods=["GET"]),
        Route("/v1/files/{file_id}", partial(_show_file, state), methods=["GET"]),
        Route("/v1/files/{file_id}", partial(_delete_file, state), methods=["DELETE"]),
        Route("/v1/files/{file_id}/content", partial(_download, state), methods=["GET"]),
    ]


async def _upload(state: State, request: Request) -> Response:
    workspace, fault = _admit(state, request)
    chunks = body_chunks(request, state.files.max_file_bytes + MAX_FORM_BYTES)
    upload = await read_upload(chunks, request.headers.get("content-type", ""), state.files.max_file_bytes)
    visit = visit_of(request)
    visit.fields = [*upload.fields]
    if upload.data and (record := await record_upload("file", upload.data)) is not None:
        visit.images.append(record)
    await fail(fault, request)
    file = _stored(state, upload)
    state.files.add(workspace, file)
    return reply_json(request, file.to_json(), fault)


async def _list_files(state: State, request: Request) -> Response:
    workspace, fault = _admit(state, request)
    body = _list_page(state, request, workspace)
    await fail(fault, request)
    return reply_json(request, body, fault)


async def _show_file(state: State, request: Request) -> Response:
    workspace, fault = _admit(state, request)
    file = state.files.find(workspace, request.path_params["file_id"], state.clock())
    await fail(fault, request)
    return reply_json(request, file.to_json(), fault)


async def _delete_file(state: State, request: Request) -> Response:
    workspace, fault = _admit(state, request)
    file = state.files.find(workspace, request.path_params["file_id"], state.clock())
    await fail(fault, request)
    state.files.delete(workspace, file.id, state.clock())
    return reply_json(request, {"type": "file_deleted", "id": file.id}, fault)


async def _download(state: State, request: Request) -> Response:
    workspace, fault = _admit(state, request)
    state.files.find_content(workspace, request.path_params["file_id"], state.clock())
    await fail(fault, request)
    raise invalid("File is not downloadable", error_code="file_not_downloadable")


def _admit(state: State, request: Request) -> tuple[str, Fault]:
    return read_workspace(request), fault_for(request, state.faults)


def _stored(state: State, upload: Upload) -> StoredFile:
    now = state.clock()
    return StoredFile(
        id=f"file_sandbox_{secrets.token_hex(12)}",
        serial=state.files.next_serial(),
        filename=upload.filename,
        mime_type=upload.mime_type,
        size_bytes=upload.size_bytes,
        created_at=now,
        expires_at=None if upload.expires_in_s is None else now + timedelta(seconds=upload.expires_in_s),
        data=upload.data,
    )


def _list_page(state: State, request: Request, workspace: str) -> dict[str, Json]:
    query = request.query_params
    ids = set(query.getlist("ids[]")) | set(query.getlist("ids"))
    if ids:
        if "page" in query or "limit" in query:
            raise invalid("ids cannot be combined with page or limit")
        if len(ids) > MAX_IDS:
            raise invalid(f"ids: at most {MAX_IDS} ids are allowed, not {len(ids)}")
        return _tell(state.files.list(workspace, state.clock(), ids), None)
    limit, before = read_limit(request), _read_cursor(query.get("page"))
    files = [file for file in state.files.list(workspace, state.clock()) if before is None or file.serial < before]
    return _tell(files[:limit], f"{CURSOR}{files[limit - 1].serial}" if len(files) > limit else None)


def _read_cursor(text: str | None) -> int | None:
    if text is None:
        return None
    serial = text.removeprefix(CURSOR)
    if not text.startswith(CURSOR) or not (
        serial.isascii() and serial.isdecimal() and len(serial) <= MAX_CURSOR_DIGITS
    ):
        raise invalid("page: this is no cursor that a list of files gave out")
    return int(serial)


def _tell(files: list[StoredFile], next_page: str | None) -> dict[str, Json]:
    return {"data": [file.to_json() for file in files], "next_page": next_page}
