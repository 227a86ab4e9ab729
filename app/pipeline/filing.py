"""The drop-in path of files: prepared once, kept at the vendor, known outside by ids of ours and to their owner alone.

The vendor's id stays in here: nothing that is handed back holds it, refusals included. An upload that is retried after
a lost answer is stored twice at the vendor, where the first copy is nobody's.
"""

import mimetypes
import re
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import PurePath
from typing import cast, get_args
from urllib.parse import quote, urlencode

import anyio
import msgspec
from anyio import to_thread

from app.domain import HIGH_TIER, MediaType, Size, StoredFile
from app.errors import ImageError, UpstreamError
from app.imaging.formats import BMP, sniff
from app.imaging.plan import MANY_IMAGES_MAX_SIDE_PX, plan_image
from app.imaging.prepared import PreparedImage
from app.imaging.tokens import Bounds
from app.pipeline.collecting import file_not_found
from app.pipeline.crowded_json import JsonObject
from app.pipeline.lifting import image_too_large
from app.pipeline.ports import Services
from app.pipeline.room import Room
from app.upstream.calls import Call, Reply, Upload
from app.upstream.event_stream import EventStream
from app.upstream.failures import unreadable

FILES = "/v1/files"

MAX_IDS = 100
"""Files that one list of the vendor's may be restricted to. Source: anthropic 2.12.0, types/file_list_params.py."""

ANY_REQUEST = Bounds(HIGH_TIER.max_edge_px, HIGH_TIER.max_tokens, MANY_IMAGES_MAX_SIDE_PX)
"""What every model takes beside any number of other pictures: how a file will be used is not known yet."""

_NOT_FOUND = 404
_BITMAP_HEADER_BYTES = 18
_PICTURE_TYPES = frozenset(cast("tuple[str, ...]", get_args(MediaType)))
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
}
_MAX_NAME_CHARS = 255
"""Source: https://platform.claude.com/docs/en/build-with-claude/files, seen 2026-08-22."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file as it was received, with the other fields of its form; name and type are what the sender said, if so."""

    name: str | None
    media_type: str | None
    data: bytes
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FilesCall:
    """Whose files a request is about, and what of it goes on to the vendor."""

    owner: str
    headers: Mapping[str, str]
    query: str
    room: Room | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Files as the vendor describes them, newest first; `last_id` is None where no others come after them."""

    entries: Sequence[JsonObject]
    last_id: str | None
    headers: Mapping[str, str]


async def store_file(file: NewFile, max_image_bytes: int, call: FilesCall, services: Services) -> Reply:
    """The vendor's description of the file, which it now keeps; a picture as it became.

    Raises:
        ImageError: a picture that cannot be used.
        UpstreamError: the vendor's refusal.
    """
    upload, size = await _prepared(file, max_image_bytes, services)
    del file
    if call.room is not None:
        await call.room.send(len(upload.data))
    digest = await to_thread.run_sync(_digest, upload.data)
    reply = await services.upstream.send(Call("POST", FILES, call.headers, call.query, upload=upload))
    vendor_id = reply.json_object().get("id")
    if not isinstance(vendor_id, str):
        raise unreadable(reply.request_id)
    now = services.clock.now()
    stored = StoredFile(
        id=services.new_id(f"file_{int(now.timestamp() * 1000):011x}"),  # the time first: ids sort by it
        owner=call.owner,
        vendor_id=vendor_id,
        name=upload.name,
        media_type=upload.media_type,
        size=size,
        size_bytes=len(upload.data),
        sha256=digest,
        created_at=now,
    )
    with anyio.CancelScope(shield=True):
        await services.files.add(stored)
    return _by_our_id(reply, stored)


async def list_files(limit: int, before: str | None, call: FilesCall, services: Services) -> Listing:
    """The owner's files that came before the file `before`, at most `limit`; those the vendor has dropped are left out.

    Raises:
        UpstreamError: the vendor's refusal.
    """
    found = await services.files.page(call.owner, limit + 1, before)
    files = found[:limit]
    last_id = files[-1].id if len(found) > limit else None
    return await _described(files, last_id, call, services)


async def pick_files(ids: Iterable[str], call: FilesCall, services: Services) -> Listing:
    """Those of the files that exist and are the owner's. Raises as `list_files`."""
    found = await services.files.find(call.owner, list(ids))
    return await _described([found[file_id] for file_id in sorted(found, reverse=True)], None, call, services)


async def show_file(file_id: str, call: FilesCall, services: Services) -> Reply:
    """The vendor's description of the file.

    Raises:
        AppError: `file_not_found`.
        UpstreamError: the vendor's refusal.
    """
    file = await _owned(file_id, call, services)
    with told_by_our_ids([file]):
        reply = await services.upstream.send(Call("GET", _path(file), call.headers, call.query))
    return _by_our_id(reply, file)


async def delete_file(file_id: str, call: FilesCall, services: Services) -> Reply:
    """The vendor's word that the file is gone; it is forgotten here too, also where the vendor knew it no more.

    Raises:
        AppError: `file_not_found`.
        UpstreamError: the vendor's refusal.
    """
    file = await _owned(file_id, call, services)
    with told_by_our_ids([file]):
        try:
            reply = await services.upstream.send(Call("DELETE", _path(file), call.headers, call.query))
        except UpstreamError as error:
            if error.status == _NOT_FOUND:
                await services.files.remove(call.owner, file.id)
            raise
    with anyio.CancelScope(shield=True):
        await services.files.remove(call.owner, file.id)
    return _by_our_id(reply, file)


@asynccontextmanager
async def open_content(file_id: str, call: FilesCall, services: Services) -> AsyncGenerator[EventStream]:
    """The file's bytes as the vendor sends them; closed on exit.

    Raises:
        AppError: `file_not_found`.
        UpstreamError: the vendor's refusal.
    """
    file = await _owned(file_id, call, services)
    headers = {**call.headers, "Accept": "application/binary"}
    with told_by_our_ids([file]):
        async with services.upstream.stream(Call("GET", f"{_path(file)}/content", headers, call.query)) as content:
            yield content


@contextmanager
def told_by_our_ids(files: Iterable[StoredFile]) -> Generator[None]:
    """Every refusal of the vendor's that is raised inside names the files as their owner knows them."""
    try:
        yield
    except UpstreamError as error:
        for file in files:
            _rename(error, file)
        raise


class _Listed(msgspec.Struct):
    """The vendor's list, as far as it is read."""

    data: list[JsonObject]


async def _prepared(file: NewFile, max_image_bytes: int, services: Services) -> tuple[Upload, Size | None]:
    """What goes to the vendor, and its size where it is a picture."""
    if not _is_picture(file):
        media_type = _media_type(file.media_type)
        name = file.name or f"unnamed{mimetypes.guess_extension(media_type) or ''}"
        return Upload(name, file.data, media_type, file.fields), None
    try:
        if len(file.data) > max_image_bytes:
            raise image_too_large(len(file.data), max_image_bytes)
        picture = await _fitted(file.data, services)
    except ImageError as error:
        raise error.about(1, file.name) from error
    name = _renamed(file.name or "unnamed", picture.media_type)
    return Upload(name, picture.data, picture.media_type, file.fields), picture.size


def _is_picture(file: NewFile) -> bool:
    """Whether the bytes are a picture's, or the sender calls them one that Claude could see, which they must then be.

    "BM" is a bitmap, and the start of many a text; the header of a bitmap holds zeros, a text none.
    """
    found = sniff(file.data)
    if found is BMP and 0 not in file.data[:_BITMAP_HEADER_BYTES]:
        found = None
    return found is not None or file.media_type in _PICTURE_TYPES


async def _fitted(data: bytes, services: Services) -> PreparedImage:
    """The picture within the limits of any request, without its metadata."""
    [facts] = await services.imaging.probe([data])
    if isinstance(facts, ImageError):
        raise facts
    return await services.imaging.prepare(data, facts, plan_image(facts, len(data), ANY_REQUEST))


def _media_type(declared: str | None) -> str:
    """The type as the sender said it, where it is one; it becomes a header of the form that goes on."""
    if declared is not None and re.fullmatch(r"[\w.+-]{1,100}/[\w.+-]{1,100}", declared, re.ASCII):
        return declared
    return "application/octet-stream"


def _renamed(name: str, media_type: str) -> str:
    """The name with an ending that fits the picture."""
    endings = _ENDINGS[media_type]
    if name.lower().endswith(endings):
        return name
    return PurePath(name).stem[: _MAX_NAME_CHARS - len(endings[0])] + endings[0]


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


async def _described(files: Sequence[StoredFile], last_id: str | None, call: FilesCall, services: Services) -> Listing:
    """The files in their order, each as the vendor describes it."""
    by_vendor_id = {file.vendor_id: file for file in files}
    entries: dict[str, JsonObject] = {}
    headers: Mapping[str, str] = {}
    for start in range(0, len(files), MAX_IDS):
        part = files[start : start + MAX_IDS]
        query = "&".join(filter(None, (call.query, urlencode([("ids[]", file.vendor_id) for file in part]))))
        with told_by_our_ids(part):
            reply = await services.upstream.send(Call("GET", FILES, call.headers, query))
        for vendor_id, entry in _entries(reply):
            file = by_vendor_id.get(vendor_id)
            if file is not None:
                entries[file.id] = {**entry, "id": _id_json(file)}
        headers = reply.headers
    return Listing([entries[file.id] for file in files if file.id in entries], last_id, headers)


def _entries(reply: Reply) -> list[tuple[str, JsonObject]]:
    """The vendor's list, each entry with its id."""
    try:
        entries = msgspec.json.decode(reply.content, type=_Listed).data
        return [(msgspec.json.decode(entry["id"], type=str), entry) for entry in entries]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
        raise unreadable(reply.request_id) from error


async def _owned(file_id: str, call: FilesCall, services: Services) -> StoredFile:
    """The file, where it is the caller's.

    Raises:
        AppError: `file_not_found`.
    """
    found = await services.files.find(call.owner, [file_id])
    if file_id not in found:
        raise file_not_found(file_id)
    return found[file_id]


def _path(file: StoredFile) -> str:
    return f"{FILES}/{quote(file.vendor_id, safe='')}"


def _rename(error: UpstreamError, file: StoredFile) -> None:
    """Our id of the file in place of the vendor's, wherever the error holds it."""
    theirs, ours = file.vendor_id, file.id
    error.message = error.message.replace(theirs, ours)
    raw = error.raw
    if raw is not None:
        error.raw = replace(raw, content=raw.content.replace(theirs.encode(), ours.encode()))
    if "upstream" in error.details:
        told = msgspec.json.encode(error.details["upstream"]).replace(theirs.encode(), ours.encode())
        error.details["upstream"] = msgspec.json.decode(told)


def _by_our_id(reply: Reply, file: StoredFile) -> Reply:
    """The same answer with our id; every other member as it was spelt."""
    reply.json_object()  # refuses what is no JSON object
    members = msgspec.json.decode(reply.content, type=JsonObject)
    return replace(reply, content=msgspec.json.encode({**members, "id": _id_json(file)}))


def _id_json(file: StoredFile) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(file.id))
