"""Added latency: the same requests direct and through the service, taking turns.

The upstream reads the whole body and answers at once. Prints a Markdown table. Loopback only, a fixed count.

    python bench/latency.py [ROUNDS]
"""

import base64
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from io import BytesIO
from typing import Any

import httpx2
from PIL import Image

ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [{"type": "text", "text": "ok"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 1},
}
MODEL = {"model": "claude-sonnet-5-5", "max_tokens": 100}


async def upstream(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body and answers at once."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"request-id", b"req_1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(ANSWER).encode()})


def main(rounds: int) -> None:
    """Measure and print."""
    with ExitStack() as running:
        direct = running.enter_context(_process([sys.executable, "-m", "uvicorn", "bench.latency:upstream"], {}))
        variables = {"ANTHROPIC_BASE_URL": direct, "ANTHROPIC_API_KEY": "bench", "VISION_PROXY_PORT": "0"}
        variables["VISION_PROXY_DATABASE_URL"] = "sqlite+aiosqlite:///:memory:"
        variables["VISION_PROXY_IMAGE_CACHE_BYTES"] = "0"  # the same picture is sent again and again
        through = running.enter_context(_process([sys.executable, "-m", "app", "serve"], variables))
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        print(f"{machine}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")
        print(f"pillow {version('pillow')}, anthropic {version('anthropic')}, uvicorn {version('uvicorn')}\n")
        print("| workload | requests | direct p50 ms | through p50 ms | added p50 ms | added p90 ms |")
        print("|---|---|---|---|---|---|")
        for name, count, request in _workloads(rounds):
            print(_row(name, count, direct, through, request), flush=True)


def _workloads(rounds: int) -> list[tuple[str, int, dict[str, Any]]]:
    small, middle = photo(1300, 950, 300_000), photo(1300, 950, 400_000)
    large = photo(4032, 3024, 4_700_000)
    return [
        ("w1 text only", rounds * 10, _messages({"type": "text", "text": "hello " * 50})),
        ("w2 one 300 kB JPEG that needs nothing", rounds * 4, _messages(_block(small))),
        ("w3 one 12-megapixel JPEG", rounds, _messages(_block(large))),
        ("w4 25 JPEGs of 400 kB that need nothing", rounds, _messages(*[_block(middle)] * 25)),
    ]


def _row(name: str, count: int, direct: str, through: str, request: dict[str, Any]) -> str:
    body = json.dumps({**MODEL, **request}).encode()
    times: dict[str, list[float]] = {direct: [], through: []}
    with httpx2.Client(timeout=120, headers={"content-type": "application/json", "x-api-key": "k"}) as client:
        for warm in range(count + 3):
            for url, taken in times.items():
                began = time.perf_counter()
                client.post(f"{url}/v1/messages", content=body).raise_for_status()
                if warm >= 3:
                    taken.append((time.perf_counter() - began) * 1000)
    added = [after - before for before, after in zip(times[direct], times[through], strict=True)]
    low, high = statistics.median(times[direct]), statistics.median(times[through])
    nines = statistics.quantiles(added, n=10)[-1]
    return f"| {name} | {count} | {low:.1f} | {high:.1f} | {statistics.median(added):.1f} | {nines:.1f} |"


def _messages(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


def _block(picture: bytes) -> dict[str, Any]:
    data = base64.b64encode(picture).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": data}}


def photo(width: int, height: int, size_bytes: int) -> bytes:
    """A JPEG of about that many bytes, its quality searched for: noise over a gradient, as fine as a phone's."""
    noise = _stretched(Image.effect_noise((width // 4, height // 4), 12), width, height)
    ramp = _stretched(Image.linear_gradient("L"), width, height)
    picture = Image.merge("RGB", (noise, ramp, Image.blend(noise, ramp, 0.5)))
    best = b""
    for quality in range(30, 100, 3):
        buffer = BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        best = buffer.getvalue()
        if len(best) >= size_bytes:
            break
    return best


def _stretched(image: Image.Image, width: int, height: int) -> Image.Image:
    box = (0, 0, *image.size)
    return image.transform((width, height), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC)


@contextmanager
def _process(command: list[str], variables: dict[str, str]) -> Generator[str]:
    """The address of a server of our own, once it listens; ended on exit."""
    if "uvicorn" in command:
        with socket.create_server(("127.0.0.1", 0)) as free:
            command = [*command, "--port", str(free.getsockname()[1]), "--no-access-log"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables})
    assert process.stderr is not None
    try:
        for line in process.stderr:
            found = re.search(r"running on (http://\S+)", line)
            if found:
                yield found[1]
                break
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
