"""Forwarded headers of untrusted peers: one log line per peer and hour, and a metric."""

import logging
from datetime import timedelta

import httpx
import pytest

from api.contract import address_key
from api.telemetry.forwarding_log import ForwardingLog
from tests.support.charter import Charter
from tests.support.databases import on_sqlite
from tests.support.types import Travel
from tests.telemetry.test_metrics import measured


def peers(caplog: pytest.LogCaptureFixture) -> list[str | None]:
    """Return the peers of the lines so far."""
    return [vars(record)["facts"]["address"] for record in caplog.records if record.name == "charter.proxies"]


def test_each_peer_has_one_line_per_hour(caplog: pytest.LogCaptureFixture, travel: Travel) -> None:
    counted: list[None] = []
    ignored = ForwardingLog(address_key, lambda: counted.append(None))
    for peer in ("10.0.0.1", "10.0.0.1", None, "2001:db8::1", "2001:db8::2"):
        ignored.record(peer, "x-forwarded-for")
    assert peers(caplog) == ["10.0.0.1", None, "2001:db8::1"]
    travel(timedelta(minutes=59))
    ignored.record("10.0.0.1", "x-forwarded-for")
    ignored.record("10.0.0.2", "forwarded")
    travel(timedelta(minutes=1))
    ignored.record("10.0.0.1", "x-forwarded-for")
    ignored.record("10.0.0.2", "forwarded")
    assert peers(caplog)[3:] == ["10.0.0.2", "10.0.0.1"]
    assert len(counted) == 9
    assert vars(caplog.records[0])["facts"] == {
        "address": "10.0.0.1",
        "header": "x-forwarded-for",
        "hint": "if the peer is your proxy, add it to CHARTER_TRUSTED_PROXIES",
    }


def test_a_flood_of_peers_is_bounded(caplog: pytest.LogCaptureFixture, travel: Travel) -> None:
    caplog.set_level(logging.WARNING)
    ignored = ForwardingLog(address_key)
    for number in range(3000):
        ignored.record(f"10.0.{number // 256}.{number % 256}", "x-forwarded-for")
    assert len(peers(caplog)) == 1000
    travel(timedelta(hours=1))
    ignored.record("10.1.1.1", "x-forwarded-for")
    assert len(peers(caplog)) == 1001


@on_sqlite
def test_the_server_logs_and_counts_forwarded_headers_of_untrusted_peers(installed: Charter) -> None:
    with measured(installed) as (server, figures), httpx.Client(base_url=server.url) as client:
        client.get("/ping")
        for number in range(3):
            client.get("/ping", headers={"X-Forwarded-For": f"1.2.3.{number}"})
        assert figures.of("charter_forwarded_headers_ignored_total") == 3
        server.stop()
        assert server.log.read_text().count("forwarded_header_ignored") == 1
