"""Several workers on one socket: the supervisor replaces dead ones, and a stop drops no request."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from tests.soak.chaos.restarts import STUCK
from tests.support.charter import SECRETS, Charter, Server, is_ready, serves, until, workers
from tests.support.problems import assert_problem

pytestmark = pytest.mark.usefixtures("forked")


@pytest.fixture
def charter(tmp_path: Path, migrated_file: Path) -> Charter:
    """Return an installation with a migrated database."""
    shutil.copy(migrated_file, tmp_path / "charter.db")
    return Charter(tmp_path, {"DATABASE_URL": f"sqlite:///{tmp_path}/charter.db"} | SECRETS)


def events(server: Server, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    return [line for line in lines if line["event"] == name]


@contextmanager
def two_workers(charter: Charter) -> Iterator[Server]:
    """Run a server with two ready workers."""
    with charter.serving("--workers", "2") as server:
        until(lambda: is_ready(server.url) and all(map(serves, workers(server))))
        yield server


@contextmanager
def polled(url: str) -> Iterator[list[int]]:
    """Send requests on new connections all the time, and yield their statuses. A failed connection counts as 0."""
    statuses: list[int] = []
    done = Event()

    def ask() -> None:
        while not done.is_set():
            try:
                statuses.append(httpx.get(f"{url}/ping").status_code)
            except httpx.TransportError:
                statuses.append(0)

    client = Thread(target=ask)
    client.start()
    try:
        yield statuses
    finally:
        done.set()
        client.join()


def test_a_killed_worker_is_replaced_and_the_other_keeps_serving(charter: Charter) -> None:
    with two_workers(charter) as server:
        first, second = workers(server)
        os.kill(first, signal.SIGKILL)
        until(lambda: events(server, "worker_died"), 5)
        (line,) = events(server, "worker_died")
        assert (line["level"], line["died"], line["exit_code"]) == ("error", first, -9)
        assert workers(server) == [second, line["replaced_by"]]
        with polled(server.url) as statuses:
            until(lambda: len(statuses) >= 20)
        assert set(statuses) == {200}
        assert server.stop() == 0


def test_clients_spread_over_the_workers_after_a_replacement(charter: Charter) -> None:
    with two_workers(charter) as server, ExitStack() as stack:
        first, _ = workers(server)
        clients = [stack.enter_context(httpx.Client(base_url=server.url)) for _ in range(20)]
        os.kill(first, signal.SIGKILL)
        until(lambda: events(server, "worker_died"), 5)
        for client in clients:
            # The new worker does not serve yet, or the connection is lost with the old one.
            with suppress(httpx.TransportError):
                client.get("/ping")
        until(lambda: all(map(serves, workers(server))), 5)
        until(lambda: [client for client in clients if "connection" in client.get("/ping").headers], 5)
        # The new worker may have begun to serve between two of these requests.
        assert all(client.get("/ping").status_code == 200 for client in clients)
        assert all("connection" not in client.get("/ping").headers for client in clients)


@pytest.mark.parametrize(("setting", "stays"), [("1", False), ("", True)])
def test_idle_connections_close_after_the_keep_alive_time(charter: Charter, setting: str, stays: bool) -> None:
    charter.settings["CHARTER_KEEPALIVE_SECONDS"] = setting
    with charter.serving() as server:
        address = httpx.URL(server.url)
        with socket.create_connection((address.host, address.port), timeout=8) as client:
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
            try:
                assert (client.recv(1), stays) == (b"", False)
            except TimeoutError:
                assert stays


def test_a_hanging_worker_is_replaced(charter: Charter) -> None:
    with two_workers(charter) as server:
        first, second = workers(server)
        # A worker may take a minute until its first answer, and the supervisor asks twice a second.
        sleep(2)
        os.kill(first, signal.SIGSTOP)
        until(lambda: events(server, "worker_died"), 30)
        (line,) = events(server, "worker_died")
        assert workers(server) == [second, line["replaced_by"]]


def test_a_worker_that_dies_during_a_health_check_is_replaced_at_once(charter: Charter) -> None:
    with two_workers(charter) as server:
        first, _ = workers(server)
        os.kill(first, signal.SIGSTOP)
        # The supervisor checks each worker twice a second.
        sleep(1)
        os.kill(first, signal.SIGKILL)
        until(lambda: events(server, "worker_died"), 3)


def test_workers_exit_with_their_supervisor_and_free_the_port(charter: Charter) -> None:
    with two_workers(charter) as server:
        server.process.kill()
        server.process.wait()
        port = int(server.url.rpartition(":")[2])
        until(lambda: is_free(port), 5)


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("workers", ["1", "2"])
def test_50_stuck_clients_do_not_delay_a_stop_beyond_10_seconds(charter: Charter, workers: str) -> None:
    with charter.serving("--workers", workers) as server, ExitStack() as clients:
        until(lambda: is_ready(server.url))
        for number in range(50):
            address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(STUCK[number % len(STUCK)])
        began = monotonic()
        assert server.stop() == 0
        assert monotonic() - began < 10


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_server_reports_not_ready_before_it_stops(charter: Charter, workers: str) -> None:
    charter.settings |= {"CHARTER_DRAIN_SECONDS": "3"}
    with charter.serving("--workers", workers) as server, httpx.Client(base_url=server.url) as client:
        until(lambda: is_ready(server.url))
        assert "connection" not in client.get("/ping").headers
        began = monotonic()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not is_ready(server.url), 2)
        ready = client.get("/ready")
        assert_problem(ready, 503, "SERVICE_STOPPING")
        assert (ready.headers["retry-after"], ready.headers["connection"]) == ("5", "close")
        ping = client.get("/ping")
        assert (ping.status_code, ping.headers["connection"]) == (200, "close")
        assert server.process.wait(timeout=20) == 0
        assert monotonic() - began > 3


def test_sighup_replaces_all_workers_and_loses_no_request(charter: Charter) -> None:
    charter.settings |= {"CHARTER_DRAIN_SECONDS": "1"}
    with two_workers(charter) as server:
        before = workers(server)
        with polled(server.url) as statuses:
            server.process.send_signal(signal.SIGHUP)
            until(lambda: len(after := workers(server)) == 2 and not set(after) & set(before), 30)
        assert set(statuses) == {200}
        assert server.stop() == 0


def test_sigterm_after_20_sighups_stops_the_server_in_time(charter: Charter) -> None:
    charter.settings |= {"CHARTER_DRAIN_SECONDS": "3"}
    with two_workers(charter) as server:
        for _ in range(20):
            server.process.send_signal(signal.SIGHUP)
            sleep(0.3)
        began = monotonic()
        assert server.stop() == 0
        assert monotonic() - began < 3 + 10


def test_sigterm_does_not_wait_for_a_hanging_worker(charter: Charter) -> None:
    with two_workers(charter) as server:
        first, _ = workers(server)
        os.kill(first, signal.SIGSTOP)
        # The supervisor now waits for the worker's answer to a health check.
        sleep(2)
        began = monotonic()
        assert server.stop() == 0
        assert monotonic() - began < 10
