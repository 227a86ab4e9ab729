"""Told to stop: says so at once, finishes what is in progress, cuts the rest short, settles all, leaves no process."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import httpx2
import pytest

from tests.processes import all_end, descendants

Maker = Callable[..., bytes]


class Served(NamedTuple):
    """A service as a process of its own."""

    url: str
    process: subprocess.Popen[str]
    log: list[str]

    def get(self, path: str) -> httpx2.Response:
        """The answer, over a connection of its own; `serve` listens in its parent before the workers do."""
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=8), timeout=60) as client:
            return client.get(self.url + path)

    def stop(self) -> None:
        """Tell it to stop; wait until it says so."""
        self.process.send_signal(signal.SIGTERM)
        while self.get("/readyz").status_code == 200:
            pass


@contextmanager
def served(database: Path, upstream: str, *arguments: str, **settings: object) -> Generator[Served]:
    """The service, ready."""
    variables = {f"VISION_PROXY_{name.upper()}": str(value) for name, value in settings.items()}
    variables |= {"VISION_PROXY_DATABASE_URL": f"sqlite:///{database}", "VISION_PROXY_IMAGE_WORKERS": "1"}
    variables |= {"ANTHROPIC_BASE_URL": upstream, "ANTHROPIC_API_KEY": "test"}
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "app", "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("COV_")} | variables,
    )
    assert process.stderr is not None
    log: list[str] = []
    reader = Thread(target=log.extend, args=(process.stderr,), daemon=True)
    try:
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                reader.start()  # a full pipe would hold the service up
                service = Served(found[1], process, log)
                service.get("/readyz").raise_for_status()
                yield service
                break
        else:
            pytest.fail("it did not start:\n" + "".join(log))
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(20)
        if reader.ident is not None:
            reader.join(20)
        process.stderr.close()


def analyze(service: Served, picture: bytes, fault: str, case: str, **fields: str) -> httpx2.Response:
    headers = {"x-vision-proxy-sandbox-fault": fault, "x-vision-proxy-sandbox-case": case}
    files = {"image": ("a.jpg", picture)}
    return httpx2.post(f"{service.url}/v1/analyze", files=files, data=fields, headers=headers, timeout=60)


def wait_for_the_call(sandbox: httpx2.Client, case: str) -> None:
    """Return once the sandbox has heard of it."""
    while case not in sandbox.get("/sandbox/journal").text:
        pass


def entries(database: Path) -> list[tuple[str, int | None]]:
    """State and cost of each row of the ledger that the process has left behind."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT state, cost_nanousd FROM requests").fetchall()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_in_progress_is_finished_and_settled_while_new_requests_are_refused(
    tmp_path: Path, sandbox_url: str, sandbox: httpx2.Client, photo: Maker, case: str, workers: str
) -> None:
    database = tmp_path / "own.db"
    with served(database, sandbox_url, "--workers", workers) as service, ThreadPoolExecutor(1) as apart:
        family = descendants(service.process.pid)
        first = apart.submit(analyze, service, photo(64, 48), "slow=4", case)
        wait_for_the_call(sandbox, case)
        service.stop()
        ready = service.get("/readyz") if workers == "1" else None
        late = service.get("/v1/models") if workers == "1" else None
        figures = service.get("/metrics").text if workers == "1" else ""
        answer = first.result()
        status = service.process.wait(30)

    assert (answer.status_code, status) == (200, 0)
    if ready is not None and late is not None:
        assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
        assert (late.status_code, late.json()["error"]["details"]["error_code"]) == (503, "draining")
        assert (late.headers["connection"], late.headers["retry-after"]) == ("close", "1")
        assert "vision_proxy_requests_in_progress 1.0\n" in figures
        assert "vision_proxy_server_processes_draining 1.0\n" in figures
        assert 'vision_proxy_refusals_total{error_code="draining"} 1.0\n' in figures
    assert len(family) >= 2
    assert all_end(family)
    assert [state for state, _ in entries(database)] == ["settled"]
    assert "Traceback" not in "".join(service.log)


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/messages"])
def test_a_stream_beyond_the_deadline_ends_with_an_error_and_what_it_cost_is_settled(
    tmp_path: Path, sandbox_url: str, photo: Maker, path: str
) -> None:
    database = tmp_path / "own.db"
    body: dict[str, object] = {"messages": [{"role": "user", "content": "Count to ten."}], "stream": True}
    if path == "/v1/messages":
        request = {"json": {**body, "model": "claude-sonnet-5-5", "max_tokens": 99}}
    else:
        request = {"files": {"image": ("a.jpg", photo(64, 48))}, "data": {"stream": "true"}}
    headers = {"x-vision-proxy-sandbox-fault": "drip=2"}
    with served(database, sandbox_url, drain_timeout_s=3) as service:
        events = b""
        with httpx2.stream("POST", service.url + path, headers=headers, timeout=60, **request) as response:  # pyright: ignore[reportArgumentType]
            for piece in response.iter_bytes():
                if not events:
                    service.process.send_signal(signal.SIGTERM)
                events += piece
        status = service.process.wait(30)

    assert events.split(b"\n\n")[-2].startswith(b"event: error\ndata: ")
    assert b'"error_code": "draining"' in events
    assert status == 0
    [(state, cost_nanousd)] = entries(database)
    assert (state, bool(cost_nanousd)) == ("settled", True)


def test_a_request_beyond_the_deadline_is_told_and_its_cost_is_unknown(
    tmp_path: Path, sandbox_url: str, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    database = tmp_path / "own.db"
    with served(database, sandbox_url, drain_timeout_s=1) as service, ThreadPoolExecutor(1) as apart:
        first = apart.submit(analyze, service, photo(64, 48), "slow=45", case)
        wait_for_the_call(sandbox, case)
        service.process.send_signal(signal.SIGTERM)
        service.process.send_signal(signal.SIGTERM)  # a second one changes nothing
        answer = first.result()
        status = service.process.wait(30)

    assert (answer.status_code, answer.json()["error"]["details"]["error_code"]) == (503, "draining")
    assert status == 0
    assert [state for state, _ in entries(database)] == ["unknown"]


def test_with_a_delay_new_requests_are_served_while_it_says_that_it_leaves(tmp_path: Path, sandbox_url: str) -> None:
    with served(tmp_path / "own.db", sandbox_url, drain_delay_s=3) as service:
        service.stop()
        served_still = service.get("/v1/models").status_code
        status = service.process.wait(30)

    assert (served_still, status) == (200, 0)


def test_sigterm_while_it_starts_ends_it_with_status_0_and_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"VISION_PROXY_DATABASE_URL": f"sqlite:///{tmp_path}/own.db"},
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    family = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    status = process.wait(30)
    process.stderr.close()

    assert status == 0, first + rest
    assert "Traceback" not in first + rest
    assert all_end(family)
