"""Requests a second of 64 clients at once, where the upstream takes 200 ms: direct, through the service, LiteLLM.

The clients are plain sockets in one process, so that the two cores are left to what is measured. Prints a Markdown
table. Loopback only, a fixed count.

    python bench/crowd.py
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from http.client import HTTPConnection
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from bench.latency import KEY, LITELLM, MODEL, block, litellm, ourselves, photo, process, upstream

CLIENTS, REQUESTS = 64, 1280
UPSTREAM_S = 0.2
CEILING = round(CLIENTS / UPSTREAM_S)


async def slow_upstream(scope: Any, receive: Any, send: Any) -> None:
    """Answers as `upstream` does, a while later."""
    if scope["type"] == "http":
        await asyncio.sleep(UPSTREAM_S)
    await upstream(scope, receive, send)


def main() -> None:
    """Measure and print."""
    print(f"\n| {CLIENTS} clients, upstream at 200 ms | {CEILING} at most | good requests a second |")
    print("|---|---|---|")
    for name, content in (("w1", "Say hello."), ("w2", [block(photo(1000, 750, 300_000))])):
        body = json.dumps({**MODEL, "messages": [{"role": "user", "content": content}]}).encode()
        with ExitStack() as running:
            command = [sys.executable, "-m", "uvicorn", "bench.crowd:slow_upstream"]
            direct = running.enter_context(process(command, {}))
            ways = {"direct": direct, "vision-proxy": running.enter_context(ourselves(direct))}
            if LITELLM.is_file():
                ways["LiteLLM"] = running.enter_context(litellm(direct))
            for way, url in ways.items():
                _crowd(url, body, CLIENTS)  # the first of each are slow everywhere
                print(f"| {name} | {way} | {_measured(url, body)} |", flush=True)


def _measured(url: str, body: bytes) -> str:
    began = time.perf_counter()
    statuses = _crowd(url, body, REQUESTS)
    good, taken = statuses.get(200, 0), time.perf_counter() - began
    return f"{good / taken:.0f}" if good == REQUESTS else f"{good / taken:.0f}, statuses {dict(statuses)}"


def _crowd(url: str, body: bytes, count: int) -> Mapping[int, int]:
    """How often each status came; 0 is a connection that broke."""
    left: SimpleQueue[None] = SimpleQueue()
    for _ in range(count):
        left.put(None)
    statuses: list[int] = []

    def one() -> None:
        address = urlsplit(url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=120)
        headers = {"content-type": "application/json", "x-api-key": KEY}
        while True:
            try:
                left.get_nowait()
            except Empty:
                return
            try:
                connection.request("POST", "/v1/messages", body, headers)
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
            except OSError:
                connection.close()
                statuses.append(0)

    threads = [Thread(target=one) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {status: statuses.count(status) for status in sorted(set(statuses))}


if __name__ == "__main__":
    main()
