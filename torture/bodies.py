"""Attacks with whole requests: forms of thousands of parts, JSON without bottom, broken and exploding files."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2

from tests import bombs
from tests.conftest import CORPUS
from tests.test_mutations import mutations
from torture.sockets import Statuses

_AT_ONCE = 16
_MUTATIONS = 400


async def forms(url: str) -> Statuses:
    """Forms of ten thousand parts, with endless names, without an end, of pictures that are none."""
    part = b'--b\r\ncontent-disposition: form-data; name="%s"\r\n\r\nx\r\n'
    bodies = [
        part % b"image" * 10_000 + b"--b--\r\n",
        part % b"prompt" * 10_000 + b"--b--\r\n",
        part % (b"n" * 1_000_000) + b"--b--\r\n",
        b'--b\r\ncontent-disposition: form-data; name="image"; filename="'
        + b"f" * 500_000
        + b'"\r\n\r\nx\r\n--b--\r\n',
        b"--b\r\n" + b"x-header: y\r\n" * 20_000 + b"\r\nx\r\n--b--\r\n",
        part % b"image",
        b"--b" * 1_000_000,
        b"",
    ]
    headers = {"content-type": "multipart/form-data; boundary=b"}
    paths = ["/v1/analyze", "/v1/estimate", "/v1/normalize"]
    return await _sent(url, [(path, {"content": body, "headers": headers}) for body in bodies for path in paths])


async def nested_json(url: str) -> Statuses:
    """JSON of a hundred thousand levels, of a million members, of endless numbers, and of no JSON at all."""
    deep = b"[" * 100_000 + b"]" * 100_000
    content = b'{"type":"tool_result","content":[' * 2_000 + b"]}" * 2_000
    bodies = [
        deep,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"model":"claude-haiku-4-5","max_tokens":5,"messages":' + deep + b"}",
        b'{"model":"claude-haiku-4-5","max_tokens":5,"messages":[{"role":"user","content":[' + content + b"]}]}",
        b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}",
        b"[" + b"0," * 2_000_000 + b"0]",
        b'{"max_tokens":' + b"9" * 1_000_000 + b"}",
        b'{"prompt":"\\ud800"}',
        b"\xff" * 1_000_000,
        b'{"images":[' + b'{"data":"%s"},' % (b"A" * 64) * 20_000 + b'{"data":""}]}',
    ]
    headers = {"content-type": "application/json"}
    paths = ["/v1/messages", "/v1/analyze", "/v1/messages/batches", "/v1/keys"]
    return await _sent(url, [(path, {"content": body, "headers": headers}) for body in bodies for path in paths])


async def exploding_files(url: str) -> Statuses:
    """Files of every format that take far more to open than to send."""
    made = [
        bombs.scan_bomb((800, 600), 1000),
        bombs.scan_bomb((8000, 6000), 99),
        bombs.jpeg_of_segments(1_000_000),
        bombs.webp_of(16383, 16383),
        bombs.webp_of(5_900, 5_900),
        bombs.jpeg2000_of(9000, 9000),
        bombs.iso_media_of("AVIF", 30_000, 3_000),
        bombs.iso_media_of("HEIF", 30_000, 3_000),
        bombs.png_of(10_000, 10_000, colour_type=2),
        bombs.png_with(b"zTXt", 100, 1_000_000),
        bombs.gif_of_frames(1_000_000),
        bombs.gif_of_canvas(10_000, 10_000),
        bombs.tiff_of_strips(300_000),
        bombs.tiff_of_values(3_000, 1_000_000),
        bombs.bmp_rle_of(9_000, 9_000),
        bombs.icon_of(30_000, 30_000),
        bombs.pdf_of_drawing(100_000_000),
        bombs.pdf_of_forms(10, 12),
    ]
    return await _uploaded(url, made)


async def broken_files(url: str) -> Statuses:
    """Pictures of the corpus with bits turned over, cut, torn, beheaded; none where the corpus is absent."""
    if not CORPUS.is_dir():
        return Counter({"no corpus": 1})
    return await _uploaded(url, _first_mutations(CORPUS))


def _first_mutations(corpus: Path) -> Iterable[bytes]:
    return (
        data for _, data in islice((found for chunk in range(16) for found in mutations(corpus, chunk)), _MUTATIONS)
    )


async def _uploaded(url: str, files: Iterable[bytes]) -> Statuses:
    return await _sent(url, [("/v1/normalize", {"files": {"image": ("broken", data)}}) for data in files])


async def _sent(url: str, requests: list[tuple[str, dict[str, Any]]]) -> Statuses:
    statuses: Statuses = Counter()
    waiting = list(reversed(requests))

    async def one(client: httpx2.AsyncClient) -> None:
        while waiting:
            path, request = waiting.pop()
            try:
                answer = await client.post(path, **request)
            except httpx2.TransportError as error:
                statuses[type(error).__name__] += 1
                continue
            statuses[_told(answer)] += 1

    async with httpx2.AsyncClient(base_url=url, timeout=120) as client:
        await asyncio.gather(*[one(client) for _ in range(_AT_ONCE)])
    return statuses


def _told(answer: httpx2.Response) -> str:
    """The status; that an error is not of the contract's shape is worth a word."""
    if not answer.is_error:
        return str(answer.status_code)
    try:
        shaped = {"type", "message"} <= json.loads(answer.content)["error"].keys()  # the vendor's own have no details
    except (ValueError, KeyError, TypeError):
        shaped = False
    return f"{answer.status_code}{'' if shaped else ' of another shape'}"
