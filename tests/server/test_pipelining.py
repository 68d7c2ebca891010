"""Several requests on one connection: order, isolation, limits and errors between them."""

import re
from collections.abc import Callable
from contextvars import ContextVar
from threading import Event
from time import sleep
from weakref import WeakSet

import httpx
import pytest
from anyio import to_thread
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api.server.protocol import BoundedProtocol
from tests.support.charter import until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.raw_http import RawConnection, raw_request, sign_up_request
from tests.support.serving import serving


def test_pipelined_requests_get_responses_in_order(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(
        raw_request("GET /ping")
        + raw_request("GET /nothing")
        + sign_up_request("Content-Type: application/json")
        + raw_request("GET /ping")
    )
    assert [connection.read_response().status for _ in range(4)] == [200, 404, 201, 200]


def test_context_variables_are_not_shared_between_requests() -> None:
    caller = ContextVar("caller", default=b"anonymous")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            response = PlainTextResponse(caller.get())
            caller.set(b"alice")
            await response(scope, receive, send)

    with serving(app) as server:
        connection = RawConnection(server)
        # The server starts the next pipelined request while it finishes the current one.
        connection.send(raw_request("GET /") * 3)
        assert [connection.read_response().body for _ in range(3)] == [b"anonymous"] * 3
        connection.close()


def test_an_error_after_a_head_request_has_a_body(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request("HEAD /ping"))
    assert connection.read_response(has_body=False).status == 200
    connection.send(raw_request("BREW /ping"))
    assert connection.read_response().code == "MALFORMED_REQUEST"


def test_an_error_follows_the_response_in_flight(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(sign_up_request("Content-Type: application/json") + b"\x00\x00\r\n\r\n")
    assert connection.read_response().status == 201
    assert connection.is_closed()


def test_a_malformed_body_behind_other_requests_is_rejected(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request("GET /ping") * 2 + sign_up_request("Transfer-Encoding: chunked", body=b"z\r\n"))
    assert [connection.read_response().status for _ in range(2)] == [200, 200]
    assert connection.read_response().code == "MALFORMED_REQUEST"
    assert connection.is_closed()


def test_floods_of_pipelined_requests_are_cut_off(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request("GET /ping") * 1000)
    statuses = re.findall(rb"HTTP/1.1 ([0-9]+)", connection.read_all())
    assert set(statuses) == {b"200"}
    assert 1 <= len(statuses) <= 40


def test_a_flood_behind_a_request_in_flight_is_not_read(connections: WeakSet[BoundedProtocol]) -> None:
    may_end = Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await to_thread.run_sync(may_end.wait, PATIENCE_SECONDS)
            await PlainTextResponse("done")(scope, receive, send)

    with serving(app) as server:
        connection = RawConnection(server)
        # A read has up to 256 KiB, and its share of the second request is unknown.
        connection.send(raw_request("GET /") + b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000)
        until(lambda: [each for each in connections if each.flow.read_paused])
        assert [len(each.headers) < 95_000 for each in connections] == [True]
        may_end.set()
        assert connection.read_response().body == b"done"
        assert connection.is_closed()
        connection.close()


@pytest.mark.slow
def test_clients_that_reset_the_connection_log_no_errors(
    server: str, connect: Callable[[], RawConnection], caplog: pytest.LogCaptureFixture
) -> None:
    for pause in (0, 0.01, 0.02, 0.05):
        connection = connect()
        connection.send(raw_request("GET /docs/swagger-ui-bundle.js") * 5)
        sleep(pause)
        connection.reset()
    sleep(1)
    assert httpx.get(f"{server}/ping").status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
