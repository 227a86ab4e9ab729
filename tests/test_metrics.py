"""GET /metrics: what requests did is counted, by names and labels that nobody outside can multiply."""

import os
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.errors import ErrorCode
from tests.conftest import ADMIN
from tests.figures import Figures, figures_of, of
from tests.processes import all_end
from tests.test_start import running

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]
Sent = dict[str, Any]
LABELS = {
    *("endpoint", "method", "status", "step", "le", "error_code", "direction", "format", "outcome", "model", "kind"),
    *("state", "use", "cause", "result"),
}
"""Every label that there is; no key and no id is among them."""

MESSAGE = {"model": "claude-sonnet-5-5", "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}]}

ANEW = {"connection": "close"}
"""Another process may answer the next request."""


def test_a_request_is_counted_with_its_pictures_tokens_and_dollars(start_service: StartService, photo: Maker) -> None:
    service, picture = start_service(), photo(4000, 3000)
    answers = [service.post("/v1/analyze", files={"image": ("a.jpg", picture)}).json() for _ in range(2)]
    [image] = answers[0]["images"]

    figures = figures_of(service)

    model = answers[0]["model"]
    assert of(figures, "requests_total", endpoint="/v1/analyze", method="POST", status="200") == 2
    assert of(figures, "images_total", format="image/jpeg", outcome="prepared") == 2
    assert of(figures, "megapixels_total", format="image/jpeg") == 24
    assert of(figures, "image_bytes_total", direction="received") == 2 * len(picture)
    assert of(figures, "image_bytes_total", direction="sent") == 2 * image["sent"]["size_bytes"]
    assert of(figures, "body_bytes_total", direction="in") > 2 * len(picture)
    assert of(figures, "image_cache_lookups_total", result="hit") == 1
    assert of(figures, "image_cache_bytes") == image["sent"]["size_bytes"]
    used = [answer["usage"] for answer in answers]
    assert of(figures, "tokens_total", model=model, kind="input") == sum(usage["input_tokens"] for usage in used)
    assert of(figures, "tokens_total", model=model, kind="output") == sum(usage["output_tokens"] for usage in used)
    spent = sum(answer["cost"]["total_usd"] for answer in answers)
    assert of(figures, "cost_usd_total", model=model) == pytest.approx(spent)
    assert of(figures, "ledger_entries_total", state="settled") == 2
    assert of(figures, "image_workers") == of(figures, "image_workers_busy") + (os.cpu_count() or 1)
    assert (of(figures, "server_processes"), of(figures, "requests_in_progress")) == (1, 0)


@pytest.mark.parametrize("stream", ["false", "true"])
def test_every_step_of_the_main_path_is_measured(start_service: StartService, photo: Maker, stream: str) -> None:
    service = start_service()
    files, fields = {"image": ("a.jpg", photo(4000, 3000))}, {"stream": stream}
    service.post("/v1/analyze", files=files, data=fields).raise_for_status()

    figures = figures_of(service)
    while not of(figures, "step_seconds_count", step="settle"):  # it is settled behind its answer
        figures = figures_of(service)

    steps = {
        dict(labels)["step"] for (name, labels), value in figures.items() if name == "step_seconds_count" and value
    }
    expected = {"authenticate", "admit", "receive", "parse", "collect", "plan", "reserve", "queue", "normalize"}
    assert steps == expected | {"upstream", "price", "settle"} | ({"stream"} if stream == "true" else set())


def test_what_a_client_makes_up_becomes_no_label(start_service: StartService, photo: Maker) -> None:
    service, picture = start_service(admin_key=ADMIN), photo(64, 48)
    key = service.post("/v1/keys", json={"name": "made-up-key"}, headers={"x-api-key": ADMIN}).json()
    service.headers["x-api-key"] = key["key"]
    service.get("/v1/made-up-path")
    service.get("/v1/files/made_up_id")
    service.get("/v1/messages/batches/msgbatch_made_up")
    service.request("MADEUP", "/v1/analyze")
    files = {"image": ("made-up.jpg", picture)}
    for fields in ({"prompt": "made up"}, {"prompt": "made up again"}, {"model": "made-up-model"}):
        service.post("/v1/analyze", files=files, data=fields, headers={"idempotency-key": "made-up-once"})
    service.post("/v1/analyze", files=files, data={"model": "made-up-model"})

    text = service.get("/metrics").text

    assert "made" not in text.lower()
    labels = {
        (name, value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for name, value in sample.labels.items()
    }
    assert {value for name, value in labels if name == "error_code"} == set(ErrorCode)
    assert {value for name, value in labels if name == "use"} == {"receiving", "sending", "decoding"}
    assert {name for name, _ in labels} == LABELS
    assert 'endpoint="/v1/files/{file_id}",method="GET",status="404"' in text
    assert 'ledger_entries_total{state="released"} 1.0' in text or 'model="other"' in text
    assert 'refusals_total{error_code="idempotency_conflict"} 2.0' in text
    assert key["id"] not in text


def test_a_refused_picture_and_the_reason_are_counted(start_service: StartService) -> None:
    service = start_service()
    service.post("/v1/analyze", files={"image": ("a.jpg", b"no picture")})

    figures = figures_of(service)

    assert of(figures, "images_total", format="unknown", outcome="refused") == 1
    assert of(figures, "refusals_total", error_code="unsupported_format") == 1


def test_retries_and_errors_of_the_vendor_are_counted(start_service: StartService, photo: Maker) -> None:
    service = start_service()
    headers = {"x-vision-proxy-sandbox-fault": "529; retry-after=0"}
    service.post("/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}, headers=headers)

    figures = figures_of(service)

    assert of(figures, "upstream_retries_total", status="529") == 2
    assert of(figures, "upstream_errors_total", status="529") == 1
    assert of(figures, "ledger_entries_total", state="released") == 1


@pytest.mark.parametrize(
    ("path", "sent", "code"),
    [
        ("/v1/analyze", {"data": {"stream": "true"}}, "upstream_unreachable"),
        ("/v1/messages", {"json": MESSAGE | {"stream": True}}, "upstream_unreachable"),
        ("/v1/messages", {"json": MESSAGE}, "upstream_error"),
        ("/v1/messages/count_tokens", {"json": MESSAGE}, "upstream_error"),
    ],
)
def test_an_error_inside_a_stream_or_in_the_vendors_words_is_counted_and_logged_too(
    start_service: StartService, photo: Maker, caplog: pytest.LogCaptureFixture, path: str, sent: Sent, code: str
) -> None:
    service = start_service()
    files = None if "json" in sent else {"image": ("a.jpg", photo(64, 48))}
    fault = "cut" if code == "upstream_unreachable" else "400"
    service.post(path, files=files, headers={"x-vision-proxy-sandbox-fault": fault}, **sent)
    while not logged(caplog, path):  # a stream is told of once its client has everything
        service.get("/livez")

    assert of(figures_of(service), "refusals_total", error_code=code) == 1
    assert logged(caplog, path)[0]["error_code"] == code


def test_a_query_that_cannot_be_read_is_counted(start_service: StartService) -> None:
    service = start_service()
    service.get("/v1/usage", params={"from": "yesterday"})

    assert of(figures_of(service), "refusals_total", error_code="invalid_request") == 1


def test_a_fault_of_the_service_is_told_from_a_500_of_the_vendor(
    start_service: StartService, tmp_path: Path, photo: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    service = start_service(database_url=f"sqlite:///{tmp_path}/own.db", upstream_max_retries=0)
    files = {"image": ("a.jpg", photo(64, 48))}
    fault = {"x-vision-proxy-sandbox-fault": "500"}
    answers = [service.post("/v1/analyze", files=files, headers=fault)]
    with closing(sqlite3.connect(tmp_path / "own.db", isolation_level=None)) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON requests BEGIN SELECT RAISE(ABORT, 'full'); END")

    answers.append(service.post("/v1/analyze", files=files))

    figures = figures_of(service)
    assert [answer.status_code for answer in answers] == [500, 500]
    assert of(figures, "refusals_total", error_code="upstream_error") == 1
    assert of(figures, "refusals_total", error_code="internal") == 1
    assert [line["error_code"] for line in logged(caplog, "/v1/analyze")] == ["upstream_error", "internal"]


def logged(caplog: pytest.LogCaptureFixture, route: str) -> list[dict[str, Any]]:
    """The lines of requests of that route, as far as they have been written."""
    lines: list[dict[str, Any]] = [vars(record).get("fields", {}) for record in caplog.records]
    return [line for line in lines if line.get("route") == route]


ANALYZED = {"endpoint": "/v1/analyze", "method": "POST", "status": "200"}


def test_processes_of_one_service_are_added_up_and_keep_what_the_dead_counted(photo: Maker) -> None:
    """No time is asserted: what takes its time is waited for by asking again."""
    with running("serve", "--port", "0", "--workers", "2") as (url, _, process):
        until_workers_listen = httpx2.HTTPTransport(retries=8)
        with httpx2.Client(base_url=url, transport=until_workers_listen, timeout=60, headers=ANEW) as service:
            _until(service, "server_processes", 2)
            for _ in range(4):
                service.post("/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}).raise_for_status()
            _until(service, "requests_total", 4, **ANALYZED)  # one is counted when its answer has left
            dying = next(pid for pid in _children(process.pid) if _is_server(pid))
            os.kill(dying, signal.SIGKILL)
            assert all_end([dying])
            _until(service, "server_starts_total", 3)
            figures = _until(service, "server_processes", 2)

            assert of(figures, "requests_total", **ANALYZED) == 4


def test_pixels_are_in_flight_while_pictures_are_prepared(start_service: StartService, photo: Maker) -> None:
    """However often is looked: it is those of one picture at a time, for there is one worker."""
    service = start_service(image_workers=1, image_cache_bytes=0)
    files = [("image", (f"{width}.jpg", photo(width, 3000))) for width in range(4000, 4008)]
    with ThreadPoolExecutor(1) as apart:
        whole = apart.submit(service.post, "/v1/normalize", files=files)
        seen: set[float] = set()
        while not whole.done():
            seen.add(of(figures_of(service), "pixels_in_flight"))

    assert whole.result().status_code == 200
    assert seen - {0} <= {3000.0 * width for width in range(4000, 4008)}
    assert seen - {0}
    assert of(figures_of(service), "pixels_in_flight") == 0


def _until(service: httpx2.Client, name: str, wanted: float, **labels: str) -> Figures:
    """The figures once that one is what it should be."""
    seen: set[float] = set()
    for _ in range(5_000):
        with suppress(httpx2.TransportError):  # its process was killed before it answered
            figures = figures_of(service)
            seen.add(of(figures, name, **labels))
            if of(figures, name, **labels) == wanted:
                return figures
    pytest.fail(f"{name} was never {wanted}, but {seen}")


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:  # noqa: PTH123 - of the kernel
        return [int(child) for child in children.read().split()]


def _is_server(pid: int) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as command:  # noqa: PTH123 - as above
        return b"spawn_main" in command.read()
