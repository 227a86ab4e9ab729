"""The form of an upload, read in memory; the bytes of what is no picture are counted and thrown away."""

import mimetypes
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from app.sandbox.errors import body_too_large, invalid
from app.sandbox.prompt import MEDIA_TYPES

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FORM_BYTES = 65_536
"""The sandbox's own choice: how much a form may hold beside its file."""

MAX_PARTS = 10
"""The sandbox's own choice."""

MAX_DIGITS = 20
"""The sandbox's own choice: how long a number may be."""

MAX_FILENAME_CHARS = 255
FORBIDDEN_CHARS = frozenset('<>:"|?*\\/') | {chr(code) for code in range(32)}
"""Source of both: https://platform.claude.com/docs/en/build-with-claude/files, seen 2026-08-22."""

MIN_EXPIRES_S = 3_600
MAX_EXPIRES_S = 7_776_000
"""Source of both: anthropic 2.12.0, types/file_upload_params.py."""


@dataclass(slots=True)
class UploadPart:
    """One part of the form, filled in while it is read. `data` stays empty where `keeps` is false."""

    name: str = ""
    filename: str = ""
    mime_type: str = ""
    size_bytes: int = 0
    keeps: bool = True
    data: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was sent, and for how many seconds it should last."""

    filename: str
    mime_type: str
    size_bytes: int
    data: bytes
    expires_in_s: int | None
    fields: tuple[str, ...]


async def read_upload(chunks: AsyncIterator[bytes], content_type: str, max_file_bytes: int) -> Upload:
    """The upload in a body of `multipart/form-data`.

    Raises:
        SandboxError: 400, it is no such form, or a field is wrong; 413, the file is larger than `max_file_bytes`.
    """
    parts = await _read_parts(chunks, content_type, max_file_bytes)
    by_name = {part.name: part for part in parts}
    for name in by_name:
        if name not in ("file", "expires_in_seconds"):
            raise invalid(f"{name}: Extra inputs are not permitted")
    file = by_name.get("file")
    if file is None:
        raise invalid("file: Field required")
    return Upload(
        filename=_read_filename(file),
        mime_type=file.mime_type,
        size_bytes=file.size_bytes,
        data=bytes(file.data),
        expires_in_s=_read_expiry(by_name.get("expires_in_seconds")),
        fields=tuple(sorted(by_name)),
    )


async def _read_parts(chunks: AsyncIterator[bytes], content_type: str, max_file_bytes: int) -> list[UploadPart]:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise invalid("The request body must be multipart/form-data with a boundary")
    reader = _Reader(max_file_bytes)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise invalid("The request body is not valid multipart/form-data") from error
    if not reader.ended:
        raise invalid("The request body is cut short: its last boundary is missing")
    return reader.parts


def _read_filename(file: UploadPart) -> str:
    name = file.filename.rsplit("/", 1)[-1] or f"unnamed{mimetypes.guess_extension(file.mime_type) or ''}"
    if len(name) > MAX_FILENAME_CHARS:
        raise invalid(f"filename: must be 1 to {MAX_FILENAME_CHARS} characters long, not {len(name)}")
    found = sorted(FORBIDDEN_CHARS.intersection(name))
    if found:
        raise invalid(f"filename: must not contain {found[0]!a}")
    return name


def _read_expiry(part: UploadPart | None) -> int | None:
    if part is None:
        return None
    text = part.data.decode("utf-8", "replace")
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise invalid("expires_in_seconds: Input should be a valid integer")
    seconds = int(text)
    if seconds < MIN_EXPIRES_S:
        raise invalid(f"expires_in_seconds: Input should be greater than or equal to {MIN_EXPIRES_S}")
    if seconds > MAX_EXPIRES_S:
        raise invalid(f"expires_in_seconds: Input should be less than or equal to {MAX_EXPIRES_S}")
    return seconds


class _Reader:
    """Collects what the parser calls out."""

    def __init__(self, max_file_bytes: int) -> None:
        self.parts: list[UploadPart] = []
        self.ended = False
        self._max_file_bytes = max_file_bytes
        self._part = UploadPart()
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = b"", b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._read_field,
            "on_header_value": self._read_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._read_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._part = UploadPart()
        self._headers = {}

    def _read_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _read_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _end_headers(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise invalid(f"The form has more than {MAX_PARTS} parts")
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        part = self._part
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        part.filename = options.get(b"filename", b"").decode("utf-8", "replace")
        declared = self._headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        part.mime_type = declared or mimetypes.guess_type(part.filename)[0] or "application/octet-stream"
        part.keeps = part.name != "file" or part.mime_type in MEDIA_TYPES

    def _read_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.size_bytes += end - start
        if part.size_bytes > (self._max_file_bytes if part.name == "file" else MAX_FORM_BYTES):
            raise body_too_large()
        if part.keeps:
            part.data += data[start:end]

    def _end_part(self) -> None:
        self.parts.append(self._part)

    def _end(self) -> None:
        self.ended = True
