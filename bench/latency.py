"""Added latency: the same requests direct and through the service, taking turns.

The upstream reads the whole body and answers at once. LiteLLM's proxy is measured in the same run where it is installed
in `bench/.litellm`. Prints a Markdown table. Loopback only, a fixed count.

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
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import httpx2
from PIL import Image

from bench.plots import draw_bars

ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [{"type": "text", "text": "ok"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 1},
}
KEY = "sk-the-key-of-the-benchmark"
PLOT = Path(__file__).parents[1] / "docs" / "images" / "added-latency.svg"
LITELLM = Path(__file__).parent / ".litellm" / "bin" / "litellm"
TURN = 5
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
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")
    print(f"pillow {version('pillow')}, anthropic {version('anthropic')}, uvicorn {version('uvicorn')}")
    with ExitStack() as running:
        direct = running.enter_context(process([sys.executable, "-m", "uvicorn", "bench.latency:upstream"], {}))
        ways = {"direct": direct, "vision-proxy": running.enter_context(ourselves(direct))}
        if LITELLM.is_file():
            ways["LiteLLM"] = running.enter_context(litellm(direct))
        else:
            print("LiteLLM is not installed beside it, so it is not measured; `make bench` sees to it")
        heads = "".join(f" {name} added p50, p90 ms |" for name in _added(ways))
        print(f"\n| workload | requests | direct p50 ms |{heads}")
        print(f"|---|---|---|{'---|' * len(_added(ways))}")
        drawn: dict[str, dict[str, float]] = {}
        for name, count, request in _workloads(rounds):
            times = _measured(count, ways, request)
            drawn[name] = {way: statistics.median(_differences(times, way)) for way in _added(ways)}
            print(_row(name, count, times), flush=True)
        draw_bars(PLOT, "Added latency, median: each row to its own scale", drawn, "ms")


def _added(ways: Iterable[str]) -> list[str]:
    return [name for name in ways if name != "direct"]


@contextmanager
def ourselves(upstream_url: str) -> Generator[str]:
    """The service as it would be run: a key, the ledger in a file; the cache is off, for pictures come again."""
    with TemporaryDirectory() as folder:
        variables = {
            "ANTHROPIC_BASE_URL": upstream_url,
            "ANTHROPIC_API_KEY": "bench",
            "VISION_PROXY_PORT": "0",
            "VISION_PROXY_ADMIN_KEY": KEY,
            "VISION_PROXY_DATABASE_URL": f"sqlite:///{folder}/bench.db",
            "VISION_PROXY_IMAGE_CACHE_BYTES": "0",
        }
        with process([sys.executable, "-m", "app", "serve"], variables) as url:
            yield url


@contextmanager
def litellm(upstream_url: str) -> Generator[str]:
    """LiteLLM's proxy, with a key and without a database, in front of the same upstream."""
    parameters = {"model": "anthropic/claude-sonnet-5-5", "api_base": upstream_url, "api_key": "bench"}
    config = {"model_list": [{"model_name": "claude-sonnet-5-5", "litellm_params": parameters}]}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config), "utf-8")
        variables = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        port = free_port()
        command = [
            str(LITELLM),
            "--config",
            str(path),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--telemetry",
            "False",
        ]
        quiet = subprocess.DEVNULL
        started = subprocess.Popen(command, env={**os.environ, **variables}, stdout=quiet, stderr=quiet)
        try:
            yield _alive(f"http://127.0.0.1:{port}")
        finally:
            started.terminate()
            started.wait(40)


def _alive(url: str) -> str:
    """The same address, once LiteLLM answers there."""
    for _ in range(120):
        with suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/health/liveliness").status_code == 200:
                return url
        time.sleep(0.5)
    raise RuntimeError("LiteLLM does not answer")


def _workloads(rounds: int) -> list[tuple[str, int, dict[str, Any]]]:
    small, middle = photo(1250, 900, 300_000), photo(1160, 870, 400_000)
    large = photo(4032, 3024, 4_700_000)
    return [
        ("w1 text only", rounds * 10, _messages({"type": "text", "text": "hello " * 50})),
        ("w2 one 300 kB JPEG that needs nothing", rounds * 4, _messages(block(small))),
        ("w3 one 12-megapixel JPEG", rounds, _messages(block(large))),
        ("w4 25 JPEGs of 400 kB that need nothing", rounds, _messages(*[block(middle)] * 25)),
    ]


def _measured(count: int, ways: Mapping[str, str], request: dict[str, Any]) -> dict[str, list[float]]:
    """Milliseconds of each request by each way.

    They take turns, some requests each, so that each finds its caches warm, and what a server still does behind an
    answer falls on its own next one. The first of each turn does not count.
    """
    body = json.dumps({**MODEL, **request}).encode()
    times: dict[str, list[float]] = {way: [] for way in ways}
    with httpx2.Client(timeout=120, headers={"content-type": "application/json", "x-api-key": KEY}) as client:
        for _ in range(count // TURN):
            for way, url in ways.items():
                taken = [_time_of(client, url, body) for _ in range(TURN + 1)]
                times[way] += taken[1:]
    return times


def _time_of(client: httpx2.Client, url: str, body: bytes) -> float:
    began = time.perf_counter()
    client.post(f"{url}/v1/messages", content=body).raise_for_status()
    return (time.perf_counter() - began) * 1000


def _differences(times: Mapping[str, Sequence[float]], way: str) -> list[float]:
    return [after - before for before, after in zip(times["direct"], times[way], strict=True)]


def _row(name: str, count: int, times: Mapping[str, Sequence[float]]) -> str:
    cells = [f"{statistics.median(times['direct']):.1f}"]
    for way in _added(times):
        added = _differences(times, way)
        cells.append(f"{statistics.median(added):.1f}, {statistics.quantiles(added, n=10)[-1]:.1f}")
    return f"| {name} | {count} | {' | '.join(cells)} |"


def _messages(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


def block(picture: bytes) -> dict[str, Any]:
    """A JPEG as a message holds it."""
    data = base64.b64encode(picture).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": data}}


def photo(width: int, height: int, size_bytes: int) -> bytes:
    """A JPEG of about that many bytes, its quality searched for: noise over a gradient, as fine as a phone's."""
    noise = _stretched(Image.effect_noise((width // 4, height // 4), 12), width, height)
    ramp = _stretched(Image.linear_gradient("L"), width, height)
    picture = Image.merge("RGB", (noise, ramp, Image.blend(noise, ramp, 0.5)))
    best = b""
    for quality in range(30, 100):
        buffer = BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        best = buffer.getvalue()
        if len(best) >= size_bytes:
            break
    return best


def _stretched(image: Image.Image, width: int, height: int) -> Image.Image:
    box = (0, 0, *image.size)
    return image.transform((width, height), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def process(command: list[str], variables: dict[str, str]) -> Generator[str]:
    """The address of a server of our own, once it listens; ended on exit."""
    if "uvicorn" in command:
        command = [*command, "--port", str(free_port()), "--no-access-log"]
    quiet = subprocess.DEVNULL
    started = subprocess.Popen(
        command, stdout=quiet, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables}
    )
    assert started.stderr is not None
    try:
        address = next(found[1] for line in started.stderr if (found := re.search(r"running on (http://\S+)", line)))
        Thread(target=started.stderr.read, daemon=True).start()  # a full pipe would hold it up
        yield address
    finally:
        started.terminate()
        started.wait(40)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
