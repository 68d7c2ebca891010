"""The address of a client behind a proxy is the same in the log and in the session list."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from tests.features.test_sessions import listed
from tests.support.log_stream import lines
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
