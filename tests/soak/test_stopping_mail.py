"""A stop while a mail server does not answer."""

import signal
import socket
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.support.charter import Charter

pytestmark = pytest.mark.usefixtures("forked")


@pytest.mark.parametrize(
    ("workers", "greeting"), [("1", b"220 slow\r\n250-slow "), ("2", b"")], ids=["incomplete", "silent"]
)
def test_a_hanging_mail_server_does_not_delay_a_stop(tmp_path: Path, workers: str, greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        charter = Charter(
            tmp_path,
            {
                "CHARTER_SMTP_URL": f"smtp://127.0.0.1:{listener.getsockname()[1]}",
                "CHARTER_MAIL_FROM": "no-reply@example.com",
            },
        )
        assert charter.run("migrate").returncode == 0
        body = {"username": "alice", "email": "alice@example.com", "password": "correct horse battery staple"}
        with charter.serving("--workers", workers) as server:
            assert httpx.post(f"{server.url}/api/v1/auth/signup", json=body).status_code == 201
            request = {"email": "alice@example.com"}
            assert httpx.post(f"{server.url}/api/v1/auth/password/request", json=request).status_code == 202
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)
                # Other requests are as quick as before.
                assert httpx.get(f"{server.url}/ping", timeout=5).status_code == 200
                began = monotonic()
                server.process.send_signal(signal.SIGTERM)
                assert server.process.wait(timeout=10) == 0
                assert monotonic() - began < 10
        shown = charter.run("mail", "list").stdout.splitlines()
    # The mails are not lost.
    assert [line.split()[1:3] for line in shown[1:]] == [["reset_password", "waiting"], ["verify_email", "waiting"]]
