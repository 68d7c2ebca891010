"""Requests that arrive at the moment in which the server stops."""

import signal
import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import sleep

import httpx
import pytest

from tests.runtime.test_bulkhead import crowd
from tests.support.charter import Charter
from tests.support.person import newcomer

pytestmark = pytest.mark.usefixtures("forked")


@pytest.fixture
def migrated(tmp_path: Path) -> Charter:
    """Return an installation with a migrated database."""
    charter = Charter(tmp_path, {"CHARTER_BCRYPT_COST": "12", "CHARTER_HASHES": "1"})
    assert charter.run("migrate").returncode == 0
    return charter


@pytest.mark.parametrize("before", [0, 1])
def test_open_connections_get_a_response_while_the_server_stops(migrated: Charter, before: int) -> None:
    with migrated.serving() as server:
        address = httpx.URL(server.url)
        with socket.create_connection((address.host, address.port), timeout=10) as client:
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n" * before)
            # A later connection is already served, so the server has accepted this one.
            assert httpx.get(f"{server.url}/ping").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            sleep(0.2)
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
            responses = b"".join(iter(lambda: client.recv(4096), b""))
        assert responses.count(b"HTTP/1.1 200 ") == before + 1
        assert server.process.wait(timeout=5) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_held_lock_does_not_delay_the_exit(migrated: Charter, workers: str) -> None:
    with migrated.serving("--workers", workers) as server, ThreadPoolExecutor(1) as pool:
        with httpx.Client(base_url=server.url) as client:
            alice = newcomer(client, "alice")
        with closing(sqlite3.connect(migrated.data / "charter.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            # Their responses are lost, because the lock is held until the process has exited.
            pool.submit(lambda: httpx.post(f"{server.url}/api/v1/auth/logout", headers=alice.headers, timeout=30))
            sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            # The request alone would wait for 16 seconds.
            assert server.process.wait(timeout=12) == 0


def test_a_log_in_during_shutdown_succeeds(migrated: Charter) -> None:
    with migrated.serving() as server:
        with httpx.Client(base_url=server.url) as client:
            newcomer(client, "alice")
        with crowd(server.url, 2) as log_in:
            responses = [log_in(), log_in()]
            sleep(0.2)
            assert server.stop() == 0
            assert [response.result().status_code for response in responses] == [200, 200]
