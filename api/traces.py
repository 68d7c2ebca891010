"""Tells a collector of each request, as a span of OpenTelemetry; imported only where that is switched on.

A span has what the contract says of its operation, and nothing that a stranger wrote.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from threading import Timer

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from api import logs
from api.contract import Outcome, Parent

_SEND_SECONDS = 2
# A collector that is gone does not keep the process from stopping in time.
_LAST_SECONDS = 0.5
# The methods that have a name; any other is what a stranger made up (semantic conventions for HTTP).
_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}


class Traces:
    """Spans on their way to the collector at `url`; `paths` has the path of each operation."""

    def __init__(self, url: str, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._exporter = OTLPSpanExporter(url, timeout=_SEND_SECONDS)
        resource = Resource.create({"service.name": "charter", "service.version": version("charter")})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("charter")

    def begin(self, parent: Parent | None) -> Callable[[Outcome], None]:
        """A request begins, and its span; what it comes to is for the function that this returns."""
        span = self._tracer.start_span("HTTP", _context(parent), kind=SpanKind.SERVER)
        known = span.get_span_context()
        logs.note(trace_id=format_trace_id(known.trace_id), span_id=format_span_id(known.span_id))
        return partial(self._end, span)

    def _end(self, span: Span, outcome: Outcome) -> None:
        span.set_attribute("http.request.method", outcome.method if outcome.method in _METHODS else "_OTHER")
        span.set_attribute("url.scheme", "http")
        if outcome.operation_id is not None:
            path = self._paths[outcome.operation_id]
            span.update_name(outcome.operation_id)
            # The path that was asked for has ids in it.
            span.set_attributes({"http.route": path, "url.path": path})
        if outcome.status is not None:
            span.set_attribute("http.response.status_code", outcome.status)
        if outcome.status is None or outcome.status >= 500:
            span.set_attribute("error.type", outcome.code or "none")
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Send what waits to be sent, if the collector takes it soon."""
        giving_up = Timer(_LAST_SECONDS, self._exporter.shutdown)
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()


def _context(parent: Parent | None) -> Context:
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT)
    span = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(span), Context())
