"""Traces: one span a request and one a step, sent to a collector on loopback; nothing of them where they are off."""

import subprocess
import sys
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.conftest import ADMIN
from tests.log_capture import CANARY

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]

LOADED = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto")
"""What traces alone need; the bare API is a part of the Anthropic SDK."""

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Generator["Queue[bytes]"]:
    """What a collector on loopback receives, of which OpenTelemetry's own variables tell the service."""
    received: Queue[bytes] = Queue()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_request(self, code: object = None, size: object = None) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield received
        server.shutdown()


def spans_until_request(collected: "Queue[bytes]", route: str) -> tuple[list[Any], bytes]:
    """Every span up to that of the request to the route, which comes last, and the bytes of all."""
    spans: list[Any] = []
    sent = b""
    while not any(span.name.endswith(route) for span in spans):
        raw = collected.get(timeout=30)
        sent += raw
        message = ExportTraceServiceRequest.FromString(raw)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                spans += scope.spans
    return spans, sent


@pytest.mark.parametrize(("budget", "awaited"), [({}, []), ({"budget_usd": 1}, ["settle"])], ids=["free", "budget"])
def test_a_request_is_a_span_of_its_caller_s_trace_with_one_below_for_each_step_it_waits_for(
    start_service: StartService, collected: "Queue[bytes]", photo: Maker, budget: dict[str, int], awaited: list[str]
) -> None:
    service = start_service(traces="otlp", admin_key=ADMIN)
    key = service.post("/v1/keys", json={"name": "an app", **budget}, headers={"x-api-key": ADMIN}).json()["key"]
    spans_until_request(collected, "/v1/keys")
    headers = {"x-api-key": key, "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
    fields = {"prompt": CANARY}
    answer = service.post("/v1/analyze", files={"image": ("a.jpg", photo(4000, 3000))}, data=fields, headers=headers)

    spans, sent = spans_until_request(collected, "/v1/analyze")

    assert answer.status_code == 200
    root = next(span for span in spans if span.name == "POST /v1/analyze")
    steps = [span for span in spans if span is not root]
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    assert root.parent_span_id.hex() == "00f067aa0ba902b7"
    assert {span.parent_span_id for span in steps} == {root.span_id}
    expected = ["authenticate", "admit", "receive", "parse", "collect", "plan", "reserve", "queue", "normalize"]
    assert [span.name for span in steps] == [*expected, "admit", "upstream", "price", *awaited]
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    assert CANARY.encode() not in sent
    assert len(sent) < 8_000


def test_a_caller_s_traceparent_does_not_go_on_to_the_vendor(
    start_service: StartService, collected: "Queue[bytes]", sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    service = start_service(traces="otlp")
    headers = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01", "x-vision-proxy-sandbox-case": case}
    service.post("/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}, headers=headers).raise_for_status()
    spans_until_request(collected, "/v1/analyze")

    journal = sandbox.get("/sandbox/journal", params={"settled": "true"}).json()

    [visit] = [visit for visit in journal if visit["headers"].get("x-vision-proxy-sandbox-case") == case]
    assert not {"traceparent", "tracestate", "baggage"} & set(visit["headers"])


def test_a_failed_step_says_by_which_code_and_no_more(start_service: StartService, collected: "Queue[bytes]") -> None:
    start_service(traces="otlp").post("/v1/analyze", files={"image": ("name-of-a-file.jpg", b"no picture")})

    spans, sent = spans_until_request(collected, "/v1/analyze")

    [failed] = [span for span in spans if span.status.code == span.status.STATUS_CODE_ERROR]
    assert failed.name == "plan"
    assert {each.key: each.value.string_value for each in failed.attributes} == {"error.type": "unsupported_format"}
    assert b"name-of-a-file" not in sent


def test_a_service_without_traces_does_not_load_them() -> None:
    code = "import sys; from app.main import create_app; from app.settings import Settings; create_app(Settings()); "
    code += f"print([name for name in sys.modules if name.startswith({LOADED})])"

    ran = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"
