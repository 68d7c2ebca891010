"""Clients that ask in the moment in which the server stops."""

import signal
import socket
from pathlib import Path
from time import sleep

import httpx
import pytest

from tests.runtime.test_bulkhead import crowd
from tests.support.charter import Charter
from tests.support.person import newcomer


@pytest.fixture
def migrated(tmp_path: Path) -> Charter:
    """An installation with a migrated database."""
    charter = Charter(tmp_path, {"CHARTER_BCRYPT_COST": "12", "CHARTER_HASHES": "1"})
    assert charter.run("migrate").returncode == 0
    return charter


@pytest.mark.parametrize("before", [0, 1])
def test_who_is_connected_when_the_server_stops_and_asks_then_is_answered(migrated: Charter, before: int) -> None:
    with migrated.serving() as server:
        address = httpx.URL(server.url)
        with socket.create_connection((address.host, address.port), timeout=10) as client:
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n" * before)
            # One that came later is served, so this one has been let in.
            assert httpx.get(f"{server.url}/ping").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            sleep(0.2)
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
            answers = b"".join(iter(lambda: client.recv(4096), b""))
        assert answers.count(b"HTTP/1.1 200 ") == before + 1
        assert server.process.wait(timeout=5) == 0


def test_who_logs_in_when_the_server_is_told_to_stop_is_let_in(migrated: Charter) -> None:
    with migrated.serving() as server:
        with httpx.Client(base_url=server.url) as client:
            newcomer(client, "alice")
        with crowd(server.url, 2) as log_in:
            answers = [log_in(), log_in()]
            sleep(0.2)
            assert server.stop() == 0
            assert [answer.result().status_code for answer in answers] == [200, 200]
