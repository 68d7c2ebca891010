"""The address of a client behind a proxy is the same in the log and in the session list."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from tests.features.test_sessions import listed
from tests.support.caddy import caddy
from tests.support.charter import Charter, free_port, is_ready, until
from tests.support.databases import on_sqlite
from tests.support.log_stream import lines
from tests.support.paths import CHECKOUT
from tests.support.person import newcomer
from tests.support.problems import assert_problem

CLIENT = "203.0.113.7"


@pytest.fixture
def proxied(config: Config) -> Iterator[TestClient]:
    """A proxy that the application trusts."""
    app = create_app(replace(config, trusted_proxies=("127.0.0.1",)))
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000)) as client:
        yield client


def test_log_and_session_list_show_the_client_behind_a_proxy(proxied: TestClient, log: io.StringIO) -> None:
    proxied.headers["x-forwarded-for"] = f"9.9.9.9, {CLIENT}:5678"
    alice = newcomer(proxied, "alice")
    assert {session["ip_address"] for session in listed(alice)} == {CLIENT}
    assert {line["address"] for line in lines(log, "requests") + lines(log, "events")} == {CLIENT}


def test_a_client_without_a_proxy_cannot_choose_its_address(client: TestClient, log: io.StringIO) -> None:
    client.headers["x-forwarded-for"] = CLIENT
    alice = newcomer(client, "alice")
    assert {session["ip_address"] for session in listed(alice)} == {"127.0.0.1"}
    assert {line["address"] for line in lines(log, "requests") + lines(log, "events")} == {"127.0.0.1"}
    (line,) = lines(log, "proxies")
    assert (line["event"], line["address"], line["level"]) == ("forwarded_header_ignored", "127.0.0.1", "warning")


def test_21_entries_are_a_400_with_an_address_in_the_log(proxied: TestClient, log: io.StringIO) -> None:
    response = proxied.get("/ping", headers={"x-forwarded-for": ", ".join([CLIENT] * 21)})
    assert_problem(response, 400, "MALFORMED_REQUEST")
    assert response.json()["detail"] == "The header x-forwarded-for has more than 20 entries."
    (line,) = lines(log, "requests")
    assert (line["address"], line["status"]) == (CLIENT, 400)


@on_sqlite
def test_the_shipped_proxy_forwards_the_address_of_its_client(installed: Charter, tmp_path: Path) -> None:
    port = free_port()
    installed.settings["CHARTER_TRUSTED_PROXIES"] = "127.0.0.1"
    text = (CHECKOUT / "deploy/Caddyfile").read_text().replace("\n:8000 ", f"\nhttp://127.0.0.1:{port} ")
    with installed.serving() as server:
        upstream = server.url.removeprefix("http://")
        with caddy(tmp_path, text.replace("charter-1:8000 charter-2:8000", upstream)):
            url = f"http://127.0.0.1:{port}"
            until(lambda: is_ready(url))
            transport = httpx.HTTPTransport(local_address="127.0.0.9")
            with httpx.Client(base_url=url, transport=transport, headers={"x-forwarded-for": CLIENT}) as client:
                assert {session["ip_address"] for session in listed(newcomer(client, "alice"))} == {"127.0.0.9"}


@on_sqlite
def test_a_proxy_on_a_unix_socket_forwards_addresses(installed: Charter) -> None:
    path = installed.folder / "charter.sock"
    installed.settings |= {"CHARTER_HOST": f"unix:{path}", "CHARTER_TRUSTED_PROXIES": "unix"}
    with installed.serving() as server:
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(base_url="http://charter", transport=transport) as client:
            client.headers["x-forwarded-for"] = f"9.9.9.9, {CLIENT}"
            assert {session["ip_address"] for session in listed(newcomer(client, "alice"))} == {CLIENT}
            del client.headers["x-forwarded-for"]
            assert client.get("/ping").status_code == 200
        server.stop()
        logged = [json.loads(line) for line in server.log.read_text().splitlines()]
        addresses = [line["address"] for line in logged if line["event"] == "request"]
        assert addresses == [CLIENT] * (len(addresses) - 1) + [None]
