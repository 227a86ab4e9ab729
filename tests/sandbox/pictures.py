"""Small pictures and requests around them, made for these tests."""

import base64
import struct
import zlib
from io import BytesIO
from typing import Any, TypeAlias

from PIL import Image

from app.domain import Json

Answer: TypeAlias = dict[str, Any]
"""A JSON object as it was answered."""

MODEL = "claude-sonnet-5-5"
STANDARD_MODEL = "claude-haiku-4-5-20251001"


def picture(width: int, height: int, *, kind: str = "PNG", colour: str = "#204080", orientation: int = 1) -> bytes:
    """A picture of one colour in one of the four formats."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind, **({"exif": exif} if orientation > 1 else {}))
    return file.getvalue()


def padded_png(size_bytes: int) -> bytes:
    """A 1x1 PNG of exactly that many bytes: the rest is a chunk that no decoder looks at."""
    png = picture(1, 1)
    end = png.index(b"IEND") - 4
    body = b"npAd" + bytes(size_bytes - len(png) - 12)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:end] + chunk + png[end:]


def image_block(data: bytes | str, media_type: str = "image/png", **fields: Json) -> dict[str, Json]:
    """An image block; bytes are encoded, text is taken as it is."""
    encoded = data if isinstance(data, str) else base64.b64encode(data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": encoded}, **fields}


def file_block(file_id: str, **fields: Json) -> dict[str, Json]:
    """An image block that names an uploaded file."""
    return {"type": "image", "source": {"type": "file", "file_id": file_id}, **fields}


def text_block(text: str, **fields: Json) -> dict[str, Json]:
    """A text block."""
    return {"type": "text", "text": text, **fields}


def message_body(*blocks: Json, **fields: Json) -> dict[str, Json]:
    """A request of one user turn with those blocks."""
    return {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": [*blocks]}], **fields}
