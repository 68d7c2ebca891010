"""Metrics: they have a port of their own, and clients cannot influence the labels."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from api.config import Config
from tests.support.charter import Charter, Server, beside, free_port, until
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.raw_http import RawConnection, raw_request
from tests.support.readme import page
from tests.support.shipped import CONTRACT


class Figures:
    """The metrics that a server publishes."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/metrics"

    def samples(self) -> list[Sample]:
        families = text_string_to_metric_families(httpx.get(self.url, timeout=PATIENCE_SECONDS).text)
        return [sample for family in families for sample in family.samples]

    def of(self, name: str, **labels: str) -> float:
        """Return the value of the one sample with this name and these labels, or 0."""
        found = [s.value for s in self.samples() if s.name == name and labels.items() <= s.labels.items()]
        assert len(found) <= 1
        return found[0] if found else 0.0

    def pids(self) -> set[str]:
        """The ids of the processes that serve."""
        return {s.labels["pid"] for s in self.samples() if s.name == "charter_process_start_time_seconds"}

    def await_that(self, holds: Callable[["Figures"], bool]) -> None:
        until(lambda: holds(self))


@contextmanager
def measured(installed: Charter, **settings: str) -> Iterator[tuple[Server, Figures]]:
    """Run a server with metrics."""
    port = free_port()
    # A killed server leaves its folder behind. The path of pytest's folder is too long for the socket of workers.
    with TemporaryDirectory(prefix="charter-") as temporary:
        installed.settings |= {"CHARTER_METRICS_PORT": str(port), "TMPDIR": temporary, **settings}
        with installed.serving() as server:
            yield server, Figures(port)


@on_sqlite
def test_requests_are_counted_by_operation_and_status(installed: Charter) -> None:
    with measured(installed) as (server, figures), httpx.Client(base_url=server.url) as client:
        alice = newcomer(client, "alice")
        for _ in range(3):
            alice.get("/api/v1/me")
        alice.log_in(password="wrong password")
        client.head("/ping")
        assert figures.of("charter_request_seconds_count", operation="getProfile", status="200") == 3
        assert figures.of("charter_request_seconds_count", operation="logIn", status="200") == 1
        assert figures.of("charter_request_seconds_count", operation="logIn", status="401") == 1
        assert figures.of("charter_request_seconds_count", operation="ping", status="200") == 1
        assert figures.of("charter_problems_total", operation="logIn", code="INVALID_CREDENTIALS") == 1
        assert 0 < figures.of("charter_request_seconds_sum", operation="getProfile") < 30
        assert figures.of("charter_password_hashes_total") == 3
        assert server.stop() == 0


@on_sqlite
def test_the_docs_list_every_metric(installed: Charter) -> None:
    listed = dict(re.findall(r"^\| `(charter_[a-z_]+)` \| ?(.*?) ?\| ", page("docs/operations.md"), re.MULTILINE))
    installed.settings["CHARTER_RATE_LIMITS"] = "logIn.address=1/3600"
    with measured(installed) as (server, figures):
        assert httpx.get(f"{server.url}/nowhere").status_code == 404
        body = {"username": "alice", "password": "wrong"}
        refused = [httpx.post(f"{server.url}/api/v1/auth/login", json=body).status_code for _ in range(2)]
        assert refused == [401, 429]
        unknown = {"email": "nobody@example.com"}
        assert httpx.post(f"{server.url}/api/v1/auth/password/request", json=unknown).status_code == 202
        figures.await_that(lambda now: now.of("charter_mails_total", outcome="dropped") > 0)
        figures.await_that(lambda now: now.of("charter_process_resident_memory_bytes") > 0)
        labels: dict[str, set[str]] = defaultdict(set)
        for sample in figures.samples():
            labels[re.sub("_(bucket|sum|count)$", "", sample.name)] |= sample.labels.keys() - {"le"}
    assert {name: set(re.findall("[a-z]+", text)) for name, text in listed.items()} == labels


@pytest.mark.slow
@on_sqlite
def test_the_age_of_a_mail_that_waits_is_measured(config: Config) -> None:
    with measured(beside(config, 1)) as (server, figures):
        assert figures.of("charter_mail_oldest_seconds") == 0
        body = {"email": "alice@example.com"}
        with httpx.Client(base_url=server.url) as client:
            newcomer(client, "alice")
            assert client.post("/api/v1/auth/password/request", json=body).status_code == 202
        figures.await_that(lambda now: now.of("charter_mail_oldest_seconds") > 0)
        assert server.stop() == 0


@on_sqlite
def test_input_of_clients_is_in_no_label(installed: Charter) -> None:
    with measured(installed) as (server, figures), httpx.Client(base_url=server.url) as client:
        for path in ("/nowhere", "/%0a%22", "/api/v1/sessions/canary", "/docs", "/ping?canary=1"):
            client.get(path, headers={"Host": "canary", "traceparent": "canary", "User-Agent": "canary"})
        client.request("PROPFIND", "/ping")
        client.request("CANARY", "/ping")
        seen = {value for s in figures.samples() for name, value in s.labels.items() if name not in {"le", "pid"}}
        operations = {operation.id for operation in CONTRACT.operations()}
        codes = set(CONTRACT.document["components"]["schemas"]["ProblemCode"]["enum"])
        assert seen <= {"none", "200", "400", "401", "404", "405"} | operations | codes
        assert figures.of("charter_request_seconds_count", operation="none", status="404") == 2
        assert figures.of("charter_request_seconds_count", operation="none", status="405") == 2
        # The server rejected these bytes before they were a request.
        assert figures.of("charter_request_seconds_count", operation="none", status="400") == 1


@on_sqlite
def test_the_metrics_are_not_on_the_public_port(installed: Charter) -> None:
    with measured(installed) as (server, _):
        assert httpx.get(f"{server.url}/metrics").status_code == 404


@on_sqlite
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_metrics_port_has_the_limits_of_the_public_port(installed: Charter, workers: str) -> None:
    with measured(installed, CHARTER_WORKERS=workers) as (server, figures), ExitStack() as stack:
        base = figures.url.removesuffix("/metrics")
        found = httpx.get(figures.url)
        assert (found.status_code, "server" in found.headers) == (200, False)
        assert found.headers["content-type"].startswith("text/plain")
        assert_problem(httpx.get(f"{base}/"), 404, "NOT_FOUND")
        assert_problem(httpx.get(f"{base}/metrics/"), 404, "NOT_FOUND")
        assert_problem(httpx.post(figures.url), 405, "METHOD_NOT_ALLOWED")
        assert_problem(httpx.get(figures.url, headers={"X-Padding": "x" * 20_000}), 431, "HEADERS_TOO_LARGE")
        assert httpx.get(figures.url, headers=[(b"Accept", b"\xff")]).status_code == 200
        threads = len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))
        for number in range(60):
            stalled = RawConnection(base)
            stack.callback(stalled.close)
            body = ("Content-Length: 9",) if number % 2 else ()
            stalled.send(raw_request("POST /metrics", *body)[: -2 if not number % 2 else None])
        assert httpx.get(figures.url).status_code == 200
        assert len(list(Path(f"/proc/{server.process.pid}/task").iterdir())) < threads + 30
        assert server.stop() == 0


@on_sqlite
def test_idle_connections_to_the_metrics_port_close(installed: Charter) -> None:
    with measured(installed, CHARTER_KEEPALIVE_SECONDS="1") as (_, figures):
        connection = RawConnection(figures.url.removesuffix("/metrics"))
        try:
            connection.send(raw_request("GET /metrics"))
            # It reads until the server closes the connection.
            assert connection.read_all().startswith(b"HTTP/1.1 200 ")
        finally:
            connection.close()


@on_sqlite
def test_rejections_by_the_bulkhead_are_counted(installed: Charter) -> None:
    settings = {"CHARTER_BCRYPT_COST": "13", "CHARTER_HASHES": "1"}
    with measured(installed, **settings) as (server, figures):
        limits = httpx.Limits(max_connections=20)
        with httpx.Client(base_url=server.url, limits=limits, timeout=PATIENCE_SECONDS) as client:
            responses = at_once(*[Person(client, "nobody").log_in] * 12)
        refused = sum(response.status_code == 503 for response in responses)
        assert 0 < refused < 12
        assert figures.of("charter_problems_total", operation="logIn", code="TOO_BUSY") == refused
        assert figures.of("charter_password_hashes_total") == 12 - refused
        assert figures.of("charter_password_hashes_running") == 0


@on_sqlite
def test_an_unusable_database_is_counted(installed: Charter) -> None:
    with measured(installed) as (server, figures):
        (installed.folder / "charter.db").write_bytes(b"no database" * 1000)
        assert httpx.get(f"{server.url}/ready").status_code == 503
        assert figures.of("charter_problems_total", operation="checkReadiness", code="DATABASE_UNAVAILABLE") == 1


@on_sqlite
def test_requests_in_flight_are_counted(installed: Charter) -> None:
    began = time()
    with measured(installed) as (server, figures):
        address = httpx.URL(server.url)
        with socket.create_connection((address.host, address.port)) as slow:
            slow.sendall(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            figures.await_that(lambda now: now.of("charter_requests_in_flight") == 1)
        figures.await_that(lambda now: now.of("charter_requests_in_flight") == 0)
        assert figures.of("charter_request_seconds_count", operation="logIn", status="400") == 1
        assert began - 1 < figures.of("charter_process_start_time_seconds") < time() + 1
        assert figures.of("charter_process_resident_memory_bytes") > 10_000_000
        # A background thread may be looking for work.
        figures.await_that(lambda now: now.of("charter_database_connections_in_use") == 0)


# A process that finishes one request, and dies in the middle of the next one.
WORKER = """
import os, signal
from api.contract import Outcome
from api.telemetry.metrics import Metrics
metrics = Metrics()
metrics.begin(None)(Outcome("ping", "GET", 200, None, 0.5))
metrics.begin(None)
os.kill(os.getpid(), signal.SIGKILL)
"""
# The parent publishes the metrics of its children, and starts a child for each line of its input.
PARENT = f"""
import socket, subprocess, sys
from api.server.uvicorn_server import serving_beside
from api.telemetry.exporter import exporting
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
with exporting() as make_app, listener, serving_beside(make_app, listener, 75):
    print("serving", flush=True)
    for line in sys.stdin:
        print(subprocess.run([sys.executable, "-c", {WORKER!r}]).returncode, flush=True)
"""


@pytest.mark.slow
def test_the_counts_of_a_killed_process_stay_and_its_gauges_do_not() -> None:
    port = free_port()
    command = [sys.executable, "-c", PARENT, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == "serving\n"
        figures = Figures(port)
        for deaths in range(1, 4):
            print("another", file=parent.stdin, flush=True)
            assert parent.stdout.readline() == f"-{signal.SIGKILL.value}\n"
            for _ in range(2):
                assert figures.of("charter_request_seconds_count", operation="ping", status="200") == deaths
                assert figures.of("charter_request_seconds_bucket", le="0.5") == deaths
                assert figures.of("charter_request_seconds_sum", operation="ping") == deaths / 2
                assert "in_flight" not in httpx.get(figures.url).text
                assert "start_time" not in httpx.get(figures.url).text
        parent.stdin.close()
        assert parent.wait(timeout=PATIENCE_SECONDS) == 0


@on_sqlite
def test_all_workers_are_one_service(installed: Charter) -> None:
    with measured(installed, CHARTER_WORKERS="2") as (server, figures):
        figures.await_that(lambda now: len(now.pids()) == 2)
        first = figures.pids()
        for _ in range(20):
            # Each connection may reach another worker.
            assert httpx.get(f"{server.url}/ping").status_code == 200
        assert figures.of("charter_request_seconds_count", operation="ping", status="200") == 20
        os.kill(int(min(first)), signal.SIGKILL)
        figures.await_that(lambda now: len(now.pids() - first) == 1 and len(now.pids()) == 2)
        assert figures.of("charter_request_seconds_count", operation="ping", status="200") == 20
        assert httpx.get(f"{server.url}/ping").status_code == 200
        assert figures.of("charter_request_seconds_count", operation="ping", status="200") == 21
        assert server.stop() == 0


@on_sqlite
def test_an_empty_metrics_file_does_not_hide_other_processes(installed: Charter) -> None:
    with measured(installed) as (_, figures):
        (folder,) = Path(installed.settings["TMPDIR"]).glob("charter-metrics-*")
        # The process has created its file and has not written to it yet.
        (folder / f"counter_{os.getpid()}.db").touch()
        assert len(figures.pids()) == 1


@on_sqlite
def test_a_metrics_port_in_use_is_reported_in_one_line(installed: Charter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        installed.settings |= {"CHARTER_METRICS_PORT": str(port)}
        result = installed.run("serve")
    advice = f"choose another port: CHARTER_METRICS_PORT={port + 1} charter serve"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use; {advice}\n"
