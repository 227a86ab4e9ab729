"""The installed command as a process of its own: what it prints, how it is locked, that it stops when told."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest

from tests.log_capture import keep

Maker = Callable[..., bytes]


@contextmanager
def running(*arguments: str, **variables: str) -> Generator[tuple[str, list[str], subprocess.Popen[str]]]:
    """Address, log lines so far, and process of `python -m app ARGUMENTS`, once it listens."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    folder = TemporaryDirectory()  # keys of one test must not lock the service of another
    environment |= {"VISION_PROXY_DATABASE_URL": f"sqlite:///{folder.name}/own.db", **variables}
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "app", *arguments], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line)
            found = re.search(r"running on (http://\S+)", line)
            if found:
                yield found[1], lines, process
                break
        else:
            pytest.fail("it did not start:\n" + "".join(lines))
    finally:
        process.terminate()
        process.wait(20)
        if not process.stderr.closed:
            lines += process.stderr
        process.stderr.close()
        keep(lines)
        folder.cleanup()


SERVES = """
import sys
from app import __main__
from app.main import create_app
from app.settings import Settings

create_app(Settings())
print(*sorted(sys.modules))
"""

UNUSED = {
    *(
        "alembic",
        "anthropic",
        "app.sandbox",
        "asyncpg",
        "jsonschema",
        "opentelemetry.sdk",
        "sqlalchemy.dialects.postgresql",
    ),
    *("app.imaging.decode", "app.imaging.pdf", "app.imaging.render", "app.imaging.resize", "pypdfium2"),
}
"""What a service may never need, and what only other processes do: each would stay in its memory for good."""


def test_a_service_loads_only_what_it_needs_to_begin() -> None:
    ran = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", SERVES], capture_output=True, text=True, check=True
    )

    assert UNUSED & set(ran.stdout.split()) == set()


def test_without_a_key_it_serves_the_sandbox_on_loopback_and_says_so(photo: Maker) -> None:
    with running("serve", "--port", "0") as (url, lines, _):
        answer = httpx2.post(f"{url}/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}, timeout=60)

    assert answer.status_code == 200
    assert answer.json()["sandbox"] is True
    assert url.startswith("http://127.0.0.1:")
    assert any("SANDBOX: no ANTHROPIC_API_KEY is set" in line for line in lines)
    assert any("no key is configured" in line for line in lines)


def test_away_from_loopback_the_first_start_makes_a_key_prints_it_once_and_asks_for_it(tmp_path: Path) -> None:
    arguments = ("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - the point of the test
    database = {"VISION_PROXY_DATABASE_URL": f"sqlite:///{tmp_path}/own.db"}
    with running(*arguments, **database) as (_, lines, _):
        [key] = re.findall(r"shown this once, is (vp_\S+)", "".join(lines))
    with running(*arguments, **database) as (url, again, _):
        address = f"{url.replace('0.0.0.0', '127.0.0.1')}/v1/models"  # noqa: S104
        sent: tuple[dict[str, str], ...] = ({}, {"x-api-key": key})
        statuses = [httpx2.get(address, headers=headers, timeout=60).status_code for headers in sent]

    assert statuses == [401, 200]
    assert "".join(lines).count(key) == 1
    assert "vp_" not in "".join(again)


def test_several_workers_share_one_sandbox(photo: Maker) -> None:
    with running("serve", "--port", "0", "--workers", "2") as (url, _, _):
        files = {"image": ("a.jpg", photo(64, 48))}
        until_workers_listen = httpx2.HTTPTransport(retries=8)  # the parent says so before they do
        with httpx2.Client(base_url=url, transport=until_workers_listen, timeout=60) as client:
            answers = [client.post("/v1/analyze", files=files) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 4


def test_the_sandbox_runs_alone() -> None:
    with running("sandbox", "--port", "0") as (url, _, _):
        models = httpx2.get(f"{url}/v1/models", headers={"x-api-key": "any"}, timeout=60)

    assert models.json()["data"]
    assert models.headers["x-vision-proxy-sandbox"] == "true"


def test_a_service_pointed_at_a_sandbox_elsewhere_still_marks_its_answers(photo: Maker, sandbox_url: str) -> None:
    with running("serve", "--port", "0", ANTHROPIC_BASE_URL=sandbox_url, ANTHROPIC_API_KEY="k") as (url, lines, _):
        answer = httpx2.post(f"{url}/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}, timeout=60)

    assert not any("SANDBOX" in line for line in lines)
    assert (answer.json()["sandbox"], answer.headers["x-vision-proxy-sandbox"]) == (True, "true")


def test_sigterm_ends_it_with_status_0_and_without_a_trace() -> None:
    with running("serve", "--port", "0") as (url, _, process):
        assert httpx2.get(f"{url}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        rest = process.stderr.read()
        process.wait(20)

    assert "Traceback" not in rest
    assert process.returncode in {0, -signal.SIGTERM}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"},
            (
                "vision-proxy: ANTHROPIC_BASE_URL is set but ANTHROPIC_API_KEY is not; "
                "set both, or neither for the sandbox\n"
            ),
        ),
        (
            {"VISION_PROXY_PORT": "70000"},
            "vision-proxy: VISION_PROXY_PORT: Input should be less than or equal to 65535; see docs/configuration.md\n",
        ),
        (
            {"VISION_PROXY_HOST": "192.0.2.1"},  # of nobody, by RFC 5737
            "vision-proxy: cannot listen on 192.0.2.1, port 0: Cannot assign requested address\n",
        ),
        (
            {"VISION_PROXY_HOST": "nowhere.invalid", "VISION_PROXY_WORKERS": "2"},
            "vision-proxy: cannot listen on nowhere.invalid, port 0: Name or service not known\n",
        ),
        (
            {"VISION_PROXY_TRACES": "otlp", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "x"},
            (
                "vision-proxy: the variables of OpenTelemetry cannot be used: "
                "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a non-negative integer but got x\n"
            ),
        ),
        (
            {"VISION_PROXY_DATABASE_URL": "sqlite:////proc/a/b.db"},
            "vision-proxy: the database cannot be opened: [Errno 2] No such file or directory: '/proc/a'\n",
        ),
    ],
)
def test_what_cannot_start_says_why_and_exits_with_2(variables: dict[str, str], message: str) -> None:
    environment = os.environ | {"VISION_PROXY_PORT": "0"} | variables
    ran = subprocess.run(
        [sys.executable, "-m", "app", "serve"], env=environment, capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stderr) == (2, message)


@pytest.mark.parametrize("command", [("serve",), ("serve", "--workers", "2"), ("sandbox",)])
def test_a_port_that_is_taken_is_told_in_one_line(command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        arguments = [sys.executable, "-m", "app", *command, "--port", str(port)]
        ran = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603 - our own command

    told = f"vision-proxy: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
    assert (ran.returncode, ran.stderr) == (2, told)
