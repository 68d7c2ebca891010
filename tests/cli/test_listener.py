"""The addresses of a server: TCP ports and Unix sockets, as settings and as options."""

import json
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from api.cli.listener import greeting
from tests.support.charter import GREETING, Charter, Server, free_port
from tests.support.person import newcomer


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104
        ("::", "http://[::1]:8000"),
    ],
)
def test_the_greeting_has_addresses_that_can_be_opened(host: str, base: str) -> None:
    assert f"{greeting(host, 8000, 'off')}\n" == GREETING.format(base, "", "off")


def test_the_wildcard_address_of_ipv6_includes_ipv4(migrated: Charter) -> None:
    port = free_port()
    options = ("--host", "::", "--port", str(port))
    if not socket.has_dualstack_ipv6():
        assert "cannot listen on :::" in migrated.run("serve", *options).stderr
        return
    with migrated.serving(*options) as server:
        assert httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert [line["address"] for line in lines if line["event"] == "request"] == ["127.0.0.1"]


def test_a_port_in_use_is_reported_in_one_line(migrated: Charter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        migrated.settings = {"CHARTER_PORT": str(port)}
        result = migrated.run("serve")
    advice = f"choose another port: CHARTER_PORT={port + 1} charter serve"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use; {advice}\n"


def test_options_override_the_address(migrated: Charter) -> None:
    migrated.settings = {"CHARTER_HOST": "192.0.2.1", "CHARTER_PORT": "1"}
    port = free_port()
    with migrated.serving("--host", "127.0.0.1", "--port", str(port)) as server:
        assert server.url == f"http://127.0.0.1:{port}"
        assert httpx.get(f"{server.url}/ping").status_code == 200


@contextmanager
def on_unix(charter: Charter, *options: str) -> Iterator[tuple[Server, httpx.Client]]:
    """Run a server on the Unix socket `socket` of the installation, and yield it with a client."""
    path = charter.folder / "socket"
    charter.settings["CHARTER_HOST"] = f"unix:{path}"
    with (
        charter.serving(*options) as server,
        httpx.HTTPTransport(uds=str(path)) as transport,
        httpx.Client(transport=transport, base_url="http://accounts.example.com") as client,
    ):
        yield server, client


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_on_a_unix_socket_serves_and_removes_it(migrated: Charter, workers: str) -> None:
    with on_unix(migrated, "--workers", workers) as (server, client):
        path = Path(server.url.removeprefix("unix:"))
        # A proxy connects as a member of the group.
        assert stat.filemode(path.stat().st_mode) == "srw-rw----"
        alice = newcomer(client, "alice")
        (session,) = alice.get("/api/v1/sessions").json()["items"]
        assert session["ip_address"] == ""
        assert [client.get(url).status_code for url in ("/docs", "/openapi.json", "/ready")] == [200, 200, 200]
        assert client.get("/ping", headers={"Host": "a b"}).status_code == 400
        assert server.stop() == 0
        assert not path.exists()


def test_the_socket_of_a_killed_server_is_replaced(migrated: Charter) -> None:
    with on_unix(migrated) as (server, _):
        server.process.kill()
        server.process.wait()
    assert (migrated.folder / "socket").exists()
    with on_unix(migrated) as (_, client):
        assert client.get("/ping").status_code == 200


def test_the_socket_of_a_running_server_and_other_files_are_kept(migrated: Charter) -> None:
    path = migrated.folder / "socket"
    error = f"Error: cannot listen on unix:{path}: Address already in use; change CHARTER_HOST or CHARTER_PORT\n"
    with on_unix(migrated) as (_, client):
        result = migrated.run("serve")
        assert (result.returncode, result.stdout, result.stderr) == (1, "", error)
        assert client.get("/ping").status_code == 200
    path.unlink(missing_ok=True)
    path.write_text("a file")
    assert migrated.run("serve").stderr == error
    assert path.read_text() == "a file"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("unix:/nowhere/at/all", "cannot listen on unix:/nowhere/at/all: No such file or directory; "),
        (f"unix:/{'x' * 200}", f"cannot listen on unix:/{'x' * 200}: AF_UNIX path too long; "),
        ("unix:relative", "CHARTER_HOST must be an address, a name, or unix: with an absolute path"),
    ],
)
def test_an_unusable_socket_is_reported_in_one_line(migrated: Charter, host: str, reason: str) -> None:
    result = migrated.run("serve", "--host", host)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {reason}")
    assert result.stderr.count("\n") == 1
