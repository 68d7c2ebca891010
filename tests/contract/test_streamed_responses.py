"""Responses that are sent chunk by chunk while they are made."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import flask
import httpx
import pytest
from starlette.testclient import TestClient

from tests.support.engine import Engine, TransactionLog
from tests.support.patience import PATIENCE_SECONDS
from tests.support.raw_http import RawConnection
from tests.support.serving import serving

STREAM = """
tags: [{name: a}]
paths:
  /things:
    get:
      tags: [a]
      operationId: listThings
      responses:
        '200':
          description: ''
          content: {text/plain: {schema: {type: string}}}
  /rows:
    get:
      tags: [a]
      operationId: echoNothing
      responses:
        '200':
          description: ''
          content:
            application/x-ndjson:
              schema: {type: object, required: [n], properties: {n: {type: integer}}}
"""


@pytest.fixture
def streaming(engine: Engine) -> Callable[..., Engine]:
    """A function that makes an application with a streaming handler."""

    def streaming(handler: Callable[..., Any], name: str = "list_things") -> Engine:
        engine.write(STREAM)
        setattr(engine.handlers, name, handler)
        return engine

    return streaming


def test_chunks_are_sent_while_later_ones_are_made(streaming: Callable[..., Engine]) -> None:
    received = threading.Event()

    def handler() -> Iterator[str]:
        yield "first"
        assert received.wait(PATIENCE_SECONDS)
        yield ""
        yield "ä"

    with serving(streaming(handler).start()) as url, httpx.stream("GET", f"{url}/things") as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"first"
        received.set()
        assert b"".join(chunks) == "ä".encode()
        assert (response.headers["transfer-encoding"], "content-length" in response.headers) == ("chunked", False)


def test_the_transaction_ends_before_the_response_begins(streaming: Callable[..., Engine]) -> None:
    seen = []

    def handler(db: TransactionLog) -> Iterator[str]:
        seen.append(list(db.outcomes))
        yield "a"
        seen.append(list(db.outcomes))
        yield "b"

    assert streaming(handler).request("/things").text == "ab"
    assert seen == [[], ["committed"]]


def test_an_error_before_the_first_chunk_is_a_problem(streaming: Callable[..., Engine]) -> None:
    def handler(db: TransactionLog) -> Iterator[str]:
        if db is not None:
            raise ValueError
        yield "a"

    engine = streaming(handler)
    response = engine.request("/things")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert engine.transactions.outcomes == ["rolled back"]


def test_an_error_in_a_later_chunk_breaks_the_connection(streaming: Callable[..., Engine]) -> None:
    def handler() -> Iterator[dict[str, int]]:
        yield {"n": 1, "secret": 2}
        yield {}

    with serving(streaming(handler, "echo_nothing").start()) as url, httpx.Client() as client:
        with client.stream("GET", f"{url}/rows") as response:
            chunks = response.iter_raw()
            assert next(chunks) == b'{"n":1}\n'
            with pytest.raises(httpx.RemoteProtocolError):
                next(chunks)
        assert client.get(f"{url}/things").status_code == 500


def test_a_stream_is_closed_when_the_client_disconnects(streaming: Callable[..., Engine]) -> None:
    closed = threading.Event()

    def handler() -> Iterator[str]:
        try:
            while True:
                yield "x" * 1000
        finally:
            closed.set()

    with serving(streaming(handler).start()) as url:
        connection = RawConnection(url)
        connection.send(b"GET /things HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200" in next(connection.read_chunks())
        connection.reset()
        assert closed.wait(PATIENCE_SECONDS)


def test_slow_clients_occupy_no_thread(streaming: Callable[..., Engine]) -> None:
    made = threading.Semaphore(0)

    def handler() -> Iterator[bytes]:
        while True:
            made.release()
            yield b"x" * 65536

    engine = streaming(handler)
    engine.handlers.echo_nothing = lambda: [{"n": 1}]  # type: ignore[attr-defined]
    with serving(engine.start()) as url:
        slow = [RawConnection(url) for _ in range(40)]
        for connection in slow:
            connection.send(b"GET /things HTTP/1.1\r\nHost: a\r\n\r\n")
        # More than the threads of the pool are streaming now, and no client reads.
        assert all(made.acquire(timeout=PATIENCE_SECONDS) for _ in range(80))
        assert httpx.get(f"{url}/rows", timeout=PATIENCE_SECONDS).content == b'{"n":1}\n'
        for connection in slow:
            connection.reset()


@pytest.mark.parametrize("with_context", [False, True])
def test_streams_can_read_the_flask_request(streaming: Callable[..., Engine], with_context: bool) -> None:
    def chunks() -> Iterator[str]:
        for word in ("a", "b"):
            yield f"{flask.request.headers['X-Word']}{word} "

    def handler() -> object:
        flask.g.seen = True
        made = flask.stream_with_context(chunks()) if with_context else chunks()
        return flask.Response(made, mimetype="text/plain")

    response = streaming(handler).request("/things", headers={"X-Word": "w"})
    assert response.text == "wa wb "
    assert not flask.has_request_context()


def test_head_closes_a_stream_without_reading_it(streaming: Callable[..., Engine]) -> None:
    closed = []

    def handler() -> Iterator[str]:
        try:
            yield "a"
            raise AssertionError("the stream goes on")
        finally:
            closed.append(True)

    with TestClient(streaming(handler).start()) as client:
        response = client.head("/things")
    assert (response.status_code, response.content, closed) == (200, b"", [True])


@pytest.mark.parametrize("through_flask", [False, True])
def test_a_stream_without_data_ends_with_its_client(streaming: Callable[..., Engine], through_flask: bool) -> None:
    closed = threading.Event()

    def chunks() -> Iterator[str]:
        try:
            while True:
                yield ""
        finally:
            closed.set()

    def handler() -> object:
        return flask.Response(chunks(), mimetype="text/plain") if through_flask else chunks()

    with serving(streaming(handler).start()) as url:
        assert httpx.head(f"{url}/things").status_code == 200
        assert closed.wait(PATIENCE_SECONDS)
        closed.clear()
        connection = RawConnection(url)
        connection.send(b"GET /things HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200" in next(connection.read_chunks())
        connection.reset()
        assert closed.wait(PATIENCE_SECONDS)


def test_hooks_of_flask_see_a_stream_before_its_end(streaming: Callable[..., Engine]) -> None:
    made = []

    def mark(response: flask.Response) -> flask.Response:
        made.append("hook")
        response.headers["X-Marked"] = "yes"
        return response

    def handler() -> Iterator[str]:
        flask.after_this_request(mark)
        yield "a"
        made.append("end")
        yield "b"

    response = streaming(handler).request("/things")
    assert (response.text, response.headers["x-marked"], made) == ("ab", "yes", ["hook", "end"])
