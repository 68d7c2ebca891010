"""Responses keep the order of their requests, and a header value cannot add another header."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.serving import serving

PING = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with the path."""
    if scope["type"] != "http":
        return
    body = scope["raw_path"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def connect(url: str) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10)) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def get_request(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (get_request("/last", "Connection: close"), b"/last"),
        (b"GET /last HTTP/1.0\r\n\r\n", b"/last"),
        # A malformed request closes the connection after the last response.
        (b"nonsense\r\n\r\n", b"/number7"),
    ],
)
def test_responses_keep_the_order_of_their_requests(last: bytes, end: bytes) -> None:
    with serving(echo) as url, connect(url) as connection:
        connection.sendall(b"".join(get_request(f"/number{number}") for number in range(8)) + last)
        received = read_all(connection)
    positions = [received.index(b"/number%d" % number) for number in range(8)]
    assert positions == sorted(positions)
    assert received.count(b"HTTP/1.1 200 OK") == received.count(b"/last") + 8
    assert received.endswith(end)


def test_half_closed_connections_get_their_responses() -> None:
    with serving(echo) as url:
        for _ in range(200):
            with connect(url) as connection:
                connection.sendall(get_request("/whole"))
                connection.shutdown(socket.SHUT_WR)
                assert read_all(connection).endswith(b"/whole")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\x00b", b"a\x7f"])
@pytest.mark.parametrize("place", ["name", "value"])
def test_headers_with_control_characters_are_rejected(place: str, value: bytes) -> None:
    header = (value, b"x") if place == "name" else (b"x-made", value)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2"), header]})
            await send({"type": "http.response.body", "body": b"ok"})

    with serving(app) as url, connect(url) as connection:
        connection.sendall(get_request("/", "Connection: keep-alive"))
        connection.shutdown(socket.SHUT_WR)
        received = read_all(connection)
    assert b"set-cookie" not in received
    assert b"\r\n\r\nok" not in received


@pytest.mark.parametrize("length", [b"1", b"3"])
def test_a_wrong_content_length_is_rejected(length: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
            await send({"type": "http.response.body", "body": b"ok"})

    with serving(app) as url, connect(url) as connection:
        connection.sendall(get_request("/"))
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
    assert "Response content " in caplog.text


def test_responses_in_chunks_are_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await send({"type": "http.response.body", "body": b"ab", "more_body": True})
            await send({"type": "http.response.body", "body": b"cd"})

    with serving(app) as url, connect(url) as connection:
        connection.sendall(get_request("/", "Connection: close"))
        assert read_all(connection).endswith(b"\r\n\r\nabcd")


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, [(b"content-length", b"2")], b"ok"),
        (200, [(b"Content-Length", b"2"), (b"X-Made", b"a"), (b"x-made", b"b")], b"ok"),
        (200, [], b"ok"),
        (200, [(b"content-length", b"2"), (b"connection", b"close")], b"ok"),
        (204, [], b""),
        (304, [(b"etag", b'"a"')], b""),
        (404, [(b"content-length", b"0")], b""),
        (500, [(b"content-length", b"65536")], b"a" * 65_536),
    ],
)
def test_a_single_write_sends_the_bytes_of_uvicorn(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def run_plainly(_: object, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    def read_responses(url: str, method: str) -> bytes:
        head = f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n".encode()
        with connect(url) as connection:
            connection.sendall(head + b"\r\n" + head + b"Connection: close\r\n\r\n")
            return re.sub(rb"\r\ndate: [^\r]+", b"", read_all(connection))

    methods = ("GET", "HEAD", "POST")
    with serving(app) as url:
        found = [read_responses(url, method) for method in methods]
        monkeypatch.setattr("api.server.response_writer.SingleWriteResponder.run", run_plainly)
        assert found == [read_responses(url, method) for method in methods]
    assert all(responses.startswith(b"HTTP/1.1") for responses in found)
