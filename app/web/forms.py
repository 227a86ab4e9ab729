"""`multipart/form-data` into parts, in memory and in order: no picture of a customer touches a temporary file."""

from asyncio import get_running_loop
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from app.errors import AppError, ErrorCode
from app.pipeline import image_too_large
from app.web.names import bare_name
from app.web.turns import turns_of

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 1_000
MAX_TEXT_BYTES = 33_554_432
"""Of one text part; `messages` with pictures in it is one."""

_FEW_PARTS = 50
_PIECE_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part. `filename` is bare, None where there is none."""

    name: str
    filename: str | None
    media_type: str | None
    data: bytes
    is_file: bool
    """Whether the sender meant a file: it has a file name, even an empty one, or a media type other than text."""


async def read_form(chunks: AsyncIterator[bytes], content_type: str, max_file_bytes: int) -> list[FormPart]:
    """The parts of a form, in order.

    Raises:
        AppError: `invalid_request` where this is no complete form, or has more than `MAX_PARTS` parts.
        ImageError: `image_too_large`, when the file's cap is passed.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise AppError(
            ErrorCode.INVALID_REQUEST,
            "multipart/form-data without a boundary",
            hint="let the HTTP client set the content-type by itself",
        )
    reader = _Reader(max_file_bytes)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for piece in _pieces(chunks, b"--" + boundary):
            parser.write(piece)
        parser.finalize()
    except FormParserError as error:
        raise AppError(ErrorCode.INVALID_REQUEST, "the form is malformed or cut short") from error
    if not reader.ended:
        raise AppError(ErrorCode.INVALID_REQUEST, "the form is cut short: its last boundary is missing")
    return reader.parts


async def _pieces(chunks: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[bytes]:
    """What comes in, a little each turn of the loop where it holds many parts: a part costs as much as a megabyte."""
    turns = turns_of(get_running_loop()).pieces
    async for chunk in chunks:
        if chunk.count(boundary) <= _FEW_PARTS:
            yield chunk
            continue
        for start in range(0, len(chunk), _PIECE_BYTES):
            await turns.wait()
            yield chunk[start : start + _PIECE_BYTES]


class _Reader:
    """Collects what the parser calls out."""

    def __init__(self, max_file_bytes: int) -> None:
        self.parts: list[FormPart] = []
        self.ended = False
        self._max_file_bytes = max_file_bytes
        self._files = 0
        self._start_part()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._start_part,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _start_part(self) -> None:
        self._field, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._filename: str | None = None
        self._media_type: str | None = None
        self._is_file = False
        self._data = BytesIO()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _headers_finished(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise AppError(ErrorCode.INVALID_REQUEST, f"more than {MAX_PARTS} form parts", limit=MAX_PARTS)
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise AppError(ErrorCode.INVALID_REQUEST, f"part {len(self.parts) + 1} of the form has no name")
        self._name = options[b"name"].decode("utf-8", "replace")
        filename = options.get(b"filename")
        self._filename = None if filename is None else bare_name(filename.decode("utf-8", "replace"))
        media_type = self._headers.get(b"content-type")
        self._media_type = None if media_type is None else media_type.decode("latin-1").split(";")[0].strip().lower()
        self._is_file = filename is not None or not (self._media_type or "text/plain").startswith("text/")
        self._files += self._is_file

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        size_bytes = self._data.tell() + end - start
        if self._is_file and size_bytes > self._max_file_bytes:
            raise image_too_large(size_bytes, self._max_file_bytes).about(self._files, self._filename)
        if not self._is_file and size_bytes > MAX_TEXT_BYTES:
            raise AppError(
                ErrorCode.INVALID_REQUEST,
                f"the field {self._name!r} is longer than {MAX_TEXT_BYTES} bytes",
                limit=MAX_TEXT_BYTES,
            )
        self._data.write(memoryview(data)[start:end])

    def _part_end(self) -> None:
        data = self._data.getvalue()  # no copy: nothing is written to it any more
        self.parts.append(FormPart(self._name, self._filename, self._media_type, data, self._is_file))

    def _end(self) -> None:
        self.ended = True
