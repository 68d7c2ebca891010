"""OpenTelemetry traces: one span for each request. This module is imported only if tracing is on.

The attributes of a span come from the contract, never from the client.
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
from api.contract import Outcome, RequestStart, TraceParent

_SEND_SECONDS = 2
# Bounded, because an unreachable collector must not delay the shutdown of the process.
_LAST_SECONDS = 0.5
# Unknown methods are recorded as _OTHER, as the semantic conventions for HTTP require.
_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}


class Tracing:
    """Sends spans to the collector at `url`. `paths` maps each operation to its path."""

    def __init__(self, url: str, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._exporter = OTLPSpanExporter(url, timeout=_SEND_SECONDS)
        resource = Resource.create({"service.name": "charter", "service.version": version("charter")})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("charter")

    def begin(self, request: RequestStart) -> Callable[[Outcome], None]:
        """Start the span of a request. Call the returned function with the outcome of the request."""
        span = self._tracer.start_span("HTTP", _context(request.parent), kind=SpanKind.SERVER)
        known = span.get_span_context()
        logs.bind(trace_id=format_trace_id(known.trace_id), span_id=format_span_id(known.span_id))
        return partial(self._end, span)

    def _end(self, span: Span, outcome: Outcome) -> None:
        span.set_attribute("http.request.method", outcome.method if outcome.method in _METHODS else "_OTHER")
        span.set_attribute("url.scheme", "http")
        if outcome.operation_id is not None:
            path = self._paths[outcome.operation_id]
            span.update_name(outcome.operation_id)
            # The path template, because the requested path contains ids.
            span.set_attributes({"http.route": path, "url.path": path})
        if outcome.status is not None:
            span.set_attribute("http.response.status_code", outcome.status)
        if outcome.status is None or outcome.status >= 500:
            span.set_attribute("error.type", outcome.code or "none")
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Send the remaining spans, but wait for the collector at most half a second."""
        giving_up = Timer(_LAST_SECONDS, self._exporter.shutdown)
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()


def _context(parent: TraceParent | None) -> Context:
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT)
    span = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(span), Context())
