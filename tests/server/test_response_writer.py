"""Answers that are whole go out together, in the order of their requests; nothing of a header becomes another."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from starlette.types import Receive, Scope, Send

from tests.support.serving import serving

PING = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path, at once."""
    if scope["type"] != "http":
        return
    body = scope["raw_path"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def talk(url: str) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10)) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def ask(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (ask("/last", "Connection: close"), b"/last"),
        (b"GET /last HTTP/1.0\r\n\r\n", b"/last"),
        # What is no request ends the connection behind the last answer.
        (b"nonsense\r\n\r\n", b"/number7"),
    ],
)
def test_answers_come_in_the_order_of_their_requests(last: bytes, end: bytes) -> None:
    with serving(echo) as url, talk(url) as connection:
        connection.sendall(b"".join(ask(f"/number{number}") for number in range(8)) + last)
        said = read_all(connection)
    places = [said.index(b"/number%d" % number) for number in range(8)]
    assert places == sorted(places)
    assert said.count(b"HTTP/1.1 200 OK") == said.count(b"/last") + 8
    assert said.endswith(end)


def test_a_client_that_says_no_more_gets_its_answer() -> None:
    with serving(echo) as url:
        for _ in range(200):
            with talk(url) as connection:
                connection.sendall(ask("/whole"))
                connection.shutdown(socket.SHUT_WR)
                assert read_all(connection).endswith(b"/whole")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\x00b", b"a\x7f"])
@pytest.mark.parametrize("place", ["name", "value"])
def test_a_header_that_would_be_two_is_refused(place: str, value: bytes) -> None:
    header = (value, b"x") if place == "name" else (b"x-made", value)

    async def made(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2"), header]})
            await send({"type": "http.response.body", "body": b"ok"})

    with serving(made) as url, talk(url) as connection:
        connection.sendall(ask("/", "Connection: keep-alive"))
        connection.shutdown(socket.SHUT_WR)
        said = read_all(connection)
    assert b"set-cookie" not in said
    assert b"\r\n\r\nok" not in said


@pytest.mark.parametrize("length", [b"1", b"3"])
def test_a_length_that_is_not_the_bodys_is_refused(length: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
            await send({"type": "http.response.body", "body": b"ok"})

    with serving(wrong) as url, talk(url) as connection:
        connection.sendall(ask("/"))
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
    assert "Response content " in caplog.text


def test_an_answer_in_pieces_arrives() -> None:
    async def pieces(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await send({"type": "http.response.body", "body": b"ab", "more_body": True})
            await send({"type": "http.response.body", "body": b"cd"})

    with serving(pieces) as url, talk(url) as connection:
        connection.sendall(ask("/", "Connection: close"))
        assert read_all(connection).endswith(b"\r\n\r\nabcd")
