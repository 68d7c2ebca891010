"""Timeouts for slow clients and the maximum age of connections."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic
from weakref import WeakSet

import httpx
import pytest
from connexion import ConnexionMiddleware

from api.config import Config
from api.server.protocol import BoundedProtocol
from tests.support.charter import until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.raw_http import SIGN_UP_BODY, RawConnection, raw_request, sign_up_request
from tests.support.serving import serving

DEADLINE = PATIENCE_SECONDS
"""The length of every server timeout in these tests, as tests/support/patience.py sets it."""


def test_stalled_bodies_do_not_delay_other_requests(server: str, connect: Callable[[], RawConnection]) -> None:
    stalled = [connect() for _ in range(60)]
    for connection in stalled:
        connection.send(
            raw_request(
                "GET /ping", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 100", body=b"a"
            )
        )
    assert all(httpx.get(f"{server}/ping").status_code == 200 for _ in range(20))


@pytest.mark.slow
def test_reset_connections_leave_nothing_in_memory(
    connect: Callable[[], RawConnection], connections: WeakSet[BoundedProtocol]
) -> None:
    connection = connect()
    connection.send(raw_request("GET /ping"))
    assert connection.read_response().status == 200
    assert len(connections) == 1
    connection.reset()

    def is_forgotten() -> bool:
        gc.collect()
        return not connections

    until(is_forgotten)


def is_kept(server: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return True if a connection stays open after a response that the server sends to it at an old age."""
    connection = RawConnection(server)
    connection.send(raw_request("GET /ping"))
    assert "connection" not in connection.read_response().headers
    monkeypatch.setattr("api.server.protocol.monotonic", lambda: monotonic() + DEADLINE)
    connection.send(raw_request("GET /ping"))
    response = connection.read_response()
    assert response.status == 200
    kept = "connection" not in response.headers
    assert kept or (response.headers["connection"] == "close" and connection.is_closed())
    connection.close()
    return kept


def test_old_connections_to_one_of_several_workers_close(
    app: ConnexionMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(app, workers=2) as server:
        assert not is_kept(server, monkeypatch)


def test_old_connections_to_the_only_worker_are_kept(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_kept(server, monkeypatch)


class Clock:
    """The monotonic clock plus an offset that a test can increase."""

    offset = 0.0

    def time(self) -> float:
        return monotonic() + self.offset


class TestTimeouts:
    """Timeouts of a server whose clock the test moves forward."""

    @pytest.fixture
    def config(self, config: Config) -> Config:
        return replace(config, body_seconds=10 * int(DEADLINE))

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda _: clock.time())
        return clock

    @pytest.fixture
    def server(self, app: ConnexionMiddleware, clock: Clock) -> Iterator[str]:
        # uvloop's clock cannot be patched. The clock must not go backwards while the server runs.
        with serving(app, loop="asyncio") as base_url:
            yield base_url

    @pytest.fixture
    def wait(self, server: str, clock: Clock) -> Callable[[float], None]:
        """Move the server's clock forward, after the server has read all data that was sent before."""

        def move(seconds: float) -> None:
            # The server serves connections in turn: a response here means that it has read the data of the others.
            assert httpx.get(f"{server}/ping").status_code == 200
            clock.offset += seconds
            # This request wakes the event loop, which then runs all timers that are due.
            assert httpx.get(f"{server}/ping").status_code == 200

        return move

    def test_stalled_headers_time_out(
        self, connect: Callable[[], RawConnection], wait: Callable[[float], None]
    ) -> None:
        silent, stalled, line_break_only = connect(), connect(), connect()
        stalled.send(b"GET /ping HTTP/1.1\r\nHost: a\r\n")
        line_break_only.send(b"\r\n")
        wait(DEADLINE)
        for connection in (stalled, line_break_only):
            response = connection.read_response()
            assert (response.status, response.code) == (408, "REQUEST_TOO_SLOW")
            assert connection.is_closed()
        assert silent.is_closed()

    def test_a_line_break_between_requests_does_not_reset_the_timeout(
        self, connect: Callable[[], RawConnection], wait: Callable[[float], None]
    ) -> None:
        connection = connect()
        connection.send(raw_request("GET /ping"))
        assert connection.read_response().status == 200
        connection.send(b"\r\n")
        wait(DEADLINE)
        assert connection.read_response().code == "REQUEST_TOO_SLOW"
        assert connection.is_closed()

    def test_the_header_timeout_does_not_apply_to_bodies(
        self, connect: Callable[[], RawConnection], wait: Callable[[float], None]
    ) -> None:
        connection = connect()
        connection.send(
            sign_up_request(
                "Content-Type: application/json", f"Content-Length: {len(SIGN_UP_BODY)}", body=SIGN_UP_BODY[:10]
            )
        )
        connection.send(SIGN_UP_BODY[10:20])
        wait(2 * DEADLINE)
        connection.send(SIGN_UP_BODY[20:])
        assert connection.read_response().status == 201

    def test_stalled_bodies_time_out(
        self, config: Config, connect: Callable[[], RawConnection], wait: Callable[[float], None]
    ) -> None:
        connection = connect()
        connection.send(sign_up_request("Content-Type: application/json", "Content-Length: 100", body=b"{"))
        wait(config.body_seconds)
        response = connection.read_response()
        assert (response.status, response.code) == (408, "REQUEST_TOO_SLOW")
        assert connection.is_closed()

    def test_idle_connections_close(self, connect: Callable[[], RawConnection], wait: Callable[[float], None]) -> None:
        connection = connect()
        connection.send(raw_request("GET /ping"))
        assert connection.read_response().status == 200
        wait(0.9 * DEADLINE)
        connection.send(raw_request("GET /ping"))
        assert connection.read_response().status == 200
        wait(0.9 * DEADLINE)
        assert connection.is_open_at_server()
        wait(DEADLINE)
        assert connection.is_closed()

    def test_a_half_closed_connection_still_gets_its_response(
        self, connect: Callable[[], RawConnection], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.server.transport._LINGER_SECONDS", 2 * DEADLINE)
        connection = connect()
        connection.send(sign_up_request("Content-Type: application/json"))
        connection.close_sending()
        assert connection.read_response().status == 201
        assert connection.is_closed()
        # The server does not linger, because no more input can arrive.
        until(lambda: not connection.is_open_at_server())

    def test_clients_that_do_not_read_are_cut_off(
        self, connect: Callable[[], RawConnection], wait: Callable[[float], None]
    ) -> None:
        connection = connect()
        connection.send(raw_request("GET /docs/swagger-ui-bundle.js") * 12)

        def is_cut_off() -> bool:
            wait(DEADLINE)
            return not connection.is_open_at_server()

        until(is_cut_off)
        assert connection.read_all().count(b"HTTP/1.1 200 OK") < 12

    def test_clients_that_read_slowly_are_not_cut_off(
        self, connect: Callable[[], RawConnection], wait: Callable[[float], None]
    ) -> None:
        connection, received = connect(), b""
        connection.send(raw_request("GET /docs/swagger-ui-bundle.js") + raw_request("GET /ping", "Connection: close"))
        thresholds = [500_000, 1_000_000]
        for chunk in connection.read_chunks():
            received += chunk
            if thresholds and len(received) > thresholds[0]:
                thresholds.pop(0)
                wait(DEADLINE)
        assert thresholds == []
        assert received.endswith(b'{"status":"running"}')
