"""What the service makes of a file, as one line of a table; and whether what it made is what Claude accepts."""

import json
from io import BytesIO
from typing import Any

import httpx2
from PIL import Image

from app.imaging.plan import MAX_BASE64_CHARS, MAX_SIDE_PX

MAX_TOKENS, TOKEN_PX = 4784, 28
"""The most visual tokens of a picture on the high-resolution tier, and the side of the square that is one."""

_SIGNATURES = {
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}


def line_of(name: str, response: httpx2.Response) -> str:
    """Name, status, code or media type, size, operations and warnings, between tabs. Nothing that a CPU decides."""
    if response.status_code != 200:
        return "\t".join((name, str(response.status_code), code_of(response), "", "", ""))
    report: dict[str, Any] = json.loads(response.headers["x-vision-proxy-image"])
    sent: dict[str, Any] = report["sent"]
    operations = "; ".join(report["operations"])
    warnings = " ".join(warning["code"] for warning in report["warnings"])
    size = f"{sent['width_px']}x{sent['height_px']}"
    return "\t".join((name, "200", str(sent["media_type"]), size, operations, warnings))


def code_of(response: httpx2.Response) -> str:
    """The code of a refusal; empty where the answer is none of this service's."""
    try:
        return str(response.json()["error"]["details"]["error_code"])
    except (ValueError, LookupError):
        return ""


def fault_of(response: httpx2.Response) -> str | None:
    """What is wrong with the answer to one picture; None where Claude accepts it, or a person can act on it."""
    if response.status_code == 400:
        message = str(response.json()["error"]["message"])
        return None if code_of(response) and message.startswith("image 1") else f"no sentence: {message}"
    if response.status_code != 200:
        return f"{response.status_code}: {response.text[:200]}"
    return _fault_of_picture(response.content, response.headers["content-type"])


def is_untouched(response: httpx2.Response) -> bool:
    """Whether a picture was let pass as it came, less its metadata: nobody has looked at its pixels."""
    if response.status_code != 200:
        return False
    report: dict[str, Any] = json.loads(response.headers["x-vision-proxy-image"])
    return all(str(operation).startswith("stripped") for operation in report["operations"])


def _fault_of_picture(data: bytes, media_type: str) -> str | None:
    if not data.startswith(_SIGNATURES[media_type]):
        return f"not {media_type}: {data[:8]!r}"
    if -(-len(data) // 3) * 4 > MAX_BASE64_CHARS:
        return f"{len(data)} bytes"
    try:
        with Image.open(BytesIO(data)) as picture:
            picture.load()
            width_px, height_px = picture.size
    except (OSError, SyntaxError, ValueError) as error:
        return f"{media_type} that cannot be decoded: {error}"
    tokens = -(-width_px // TOKEN_PX) * -(-height_px // TOKEN_PX)
    return f"{width_px}x{height_px}" if max(width_px, height_px) > MAX_SIDE_PX or tokens > MAX_TOKENS else None
