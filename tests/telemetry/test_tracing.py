"""Traces: Charter sends a span for each request to an OTLP collector, here a real one."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.charter import Charter
from tests.support.databases import on_sqlite
from tests.support.person import PASSWORD, Person, newcomer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, ERROR = 2, 2


class Collector:
    """A collector of spans on a port of its own."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, object]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def take(self, body: bytes) -> None:
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(attributes(part.resource))
            self.spans += [span for scope in part.scope_spans for span in scope.spans]

    def shown(self) -> list[tuple[str, dict[str, object]]]:
        return [
            (span.name, attributes(span)) for span in sorted(self.spans, key=lambda span: span.start_time_unix_nano)
        ]


def attributes(thing: Any) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in thing.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


def of(operation_id: str, method: str, path: str, status: int, **more: object) -> tuple[str, dict[str, object]]:
    known = {"http.request.method": method, "url.scheme": "http", "http.route": path, "url.path": path}
    return operation_id, known | {"http.response.status_code": status} | more


@on_sqlite
def test_each_request_is_a_span_with_attributes_from_the_contract(installed: Charter, collector: Collector) -> None:
    installed.settings |= {"CHARTER_TRACES_URL": collector.url}
    with installed.serving() as server, httpx.Client(base_url=server.url) as client:
        alice = newcomer(client, "alice")
        session = alice.get("/api/v1/sessions").json()["items"][0]["id"]
        alice.delete(f"/api/v1/sessions/{session}")
        client.head("/ping")
        (installed.folder / "charter.db").write_bytes(b"no database" * 1000)
        client.get("/ready")
        assert server.stop() == 0
    assert collector.shown() == [
        of("signUp", "POST", "/api/v1/auth/signup", 201),
        of("logIn", "POST", "/api/v1/auth/login", 200),
        of("listSessions", "GET", "/api/v1/sessions", 200),
        of("revokeSession", "DELETE", "/api/v1/sessions/{session_id}", 204),
        of("ping", "HEAD", "/ping", 200),
        of("checkReadiness", "GET", "/ready", 503, **{"error.type": "DATABASE_UNAVAILABLE"}),
    ]
    assert {span.kind for span in collector.spans} == {SERVER}
    assert [span.status.code for span in collector.spans] == [0] * 5 + [ERROR]
    assert collector.resources[0]["service.name"] == "charter"


@on_sqlite
def test_spans_and_log_lines_share_the_trace_of_their_request(installed: Charter, collector: Collector) -> None:
    installed.settings |= {"CHARTER_TRACES_URL": collector.url}
    with installed.serving() as server, httpx.Client(base_url=server.url) as client:
        client.get("/ping", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
        client.get("/ping", headers={"traceparent": "canary"})
        client.get("/ping", headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
        assert server.stop() == 0
    lines = [line for line in map(json.loads, server.log.read_text().splitlines()) if line["event"] == "request"]
    ids = [(span.trace_id.hex(), span.span_id.hex()) for span in collector.spans]
    # The caller decides whether a trace is recorded.
    assert [(line["trace_id"], line["span_id"]) for line in lines][:2] == ids
    assert [line.get("parent_id") for line in lines] == [SPAN, None, SPAN]
    assert [line["trace_id"] == TRACE for line in lines] == [True, False, True]
    assert [span.parent_span_id.hex() for span in collector.spans] == [SPAN, ""]


@on_sqlite
def test_input_of_clients_is_in_no_span(installed: Charter, collector: Collector) -> None:
    installed.settings |= {"CHARTER_TRACES_URL": collector.url}
    headers = {"Host": "canary", "User-Agent": "canary", "traceparent": "canary", "tracestate": "canary=1"}
    with installed.serving() as server, httpx.Client(base_url=server.url, headers=headers) as client:
        client.get("/canary?canary")
        client.request("PROPFIND", "/ping")
        client.delete("/api/v1/sessions/canary", headers={"Authorization": "Bearer canary"})
        Person(client, "canary", PASSWORD).log_in()
        assert server.stop() == 0
    assert len(collector.spans) == 4
    exported = "".join(str(span) for span in collector.spans)
    assert "canary" not in exported
    assert PASSWORD not in exported
    assert collector.shown()[:2] == [
        ("HTTP", {"http.request.method": "GET", "url.scheme": "http", "http.response.status_code": 404}),
        ("HTTP", {"http.request.method": "_OTHER", "url.scheme": "http", "http.response.status_code": 405}),
    ]
