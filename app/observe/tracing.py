"""Traces by OpenTelemetry: one span a request, one below it for each step. The library is loaded only where asked for.

Spans hold names, numbers and ids; never prompts, pictures, keys, or the words of an error.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

TraceMode: TypeAlias = Literal["off", "otlp"]
"""Where traces go: nowhere, or to a collector by OTLP over HTTP."""

Attribute: TypeAlias = str | int | float | bool
"""One fact of a span."""

_TRACEPARENT = "traceparent"


class RequestTrace:
    """The trace of one request. Spans are made once they have ended, with their times, so that none is left open."""

    def __init__(self, tracer: "Tracer", traceparent: str | None) -> None:
        """`traceparent` is the caller's, whose trace it joins."""
        from opentelemetry.trace import SpanKind, format_trace_id, set_span_in_context  # noqa: PLC0415 - costs 80 ms
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        carrier = {} if traceparent is None else {_TRACEPARENT: traceparent}
        parent: Context = TraceContextTextMapPropagator().extract(carrier)
        self._tracer = tracer
        self._span: Span = tracer.start_span("request", parent, kind=SpanKind.SERVER)
        self._context = set_span_in_context(self._span)
        self.trace_id = format_trace_id(self._span.get_span_context().trace_id)

    def step(self, name: str, spent_s: float, error: str | None) -> None:
        """A step that has just ended; `error` is the name of what it failed by."""
        end_ns = time.time_ns()
        span = self._tracer.start_span(name, self._context, start_time=end_ns - int(spent_s * 1e9))
        self._fail(span, error)
        span.end(end_ns)

    def end(self, name: str, attributes: Mapping[str, Attribute], error: str | None) -> None:
        """The whole request."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)
        self._fail(self._span, error)
        self._span.end()

    def _fail(self, span: "Span", error: str | None) -> None:
        if error is not None:
            from opentelemetry.trace import StatusCode  # noqa: PLC0415 - as above

            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)


class Tracing:
    """Makes traces, or none where they are off."""

    def __init__(self, mode: TraceMode) -> None:
        """Where `otlp`, the `OTEL_` variables say where to and how much, as everywhere."""
        self._provider: TracerProvider | None = _provider() if mode == "otlp" else None
        self._tracer: Tracer | None = None if self._provider is None else self._provider.get_tracer("vision-proxy")

    def begin(self, headers: Mapping[bytes, bytes]) -> RequestTrace | None:
        """The trace of a request with those headers; None where traces are off."""
        if self._tracer is None:
            return None
        sent = headers.get(_TRACEPARENT.encode())
        return RequestTrace(self._tracer, None if sent is None else sent.decode("latin-1"))

    def close(self) -> None:
        """Send what was not sent yet; waits for the collector, so not on the event loop."""
        if self._provider is not None:
            self._provider.shutdown()


def _provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - costs 200 ms
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    named = Resource({"service.name": "vision-proxy"}).merge(Resource.create())
    if named.attributes.get("service.name") == "unknown_service":
        named = named.merge(Resource({"service.name": "vision-proxy"}))
    provider = TracerProvider(resource=named, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
