"""The client that sends requests at a constant rate, and what `make bench` keeps of an interrupted run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.speed.kept import Kept, Subject
from benchmarks.speed.load import Request
from benchmarks.speed.paced import Again, Chain, paced
from benchmarks.speed.results import Section
from benchmarks.speed.service import free_port

SUBJECT = Subject("abc", "", 5, 4)
SECTION = Section("Some title", ["| a |"], {"a": 1.5}, {"b": 2})


class Tokens(BaseHTTPRequestHandler):
    """Exchanges the token t-1 for the token t-2, and so on. It closes the connection after every third response."""

    protocol_version = "HTTP/1.1"
    seen: list[str]
    status = 200

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(body["refresh_token"])
        name, _, number = body["refresh_token"].partition("-")
        self.answer({"refresh_token": f"{name}-{int(number) + 1}"})

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.answer({})

    def answer(self, body: dict[str, str]) -> None:
        text = json.dumps(body).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(text)))
        if len(self.seen) % 3 == 0:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(status: int = 200) -> Iterator[tuple[int, list[str]]]:
    """Yield a port, and what it has received."""
    seen: list[str] = []
    handler = type("Handler", (Tokens,), {"seen": seen, "status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_a_constant_rate_sends_as_many_requests_as_it_says() -> None:
    with serving() as (port, seen):
        result = paced(port, Again(Request("/a")), rate=500, seconds=0.1)
    assert result.statuses == {200: 50}
    assert seen == ["/a"] * 50
    assert 0 < result.p50 <= result.p99


@pytest.mark.slow
def test_a_chain_sends_each_refresh_token_once() -> None:
    with serving() as (port, seen):
        result = paced(port, Chain(f"{name}-0" for name in range(40)), rate=2000, seconds=0.1)
    assert result.statuses == {200: 200}
    assert len(set(seen)) == 200


@pytest.mark.slow
def test_errors_are_counted_by_their_status() -> None:
    with serving(503) as (port, _):
        assert paced(port, Again(Request("/a")), rate=500, seconds=0.02).statuses == {503: 10}


def test_a_port_without_a_service_is_an_error() -> None:
    with pytest.raises(OSError, match="refused"):
        paced(free_port(), Again(Request("/a")), rate=100, seconds=0.02)


def test_sections_are_kept_for_the_same_subject(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "bench", SUBJECT)
    assert kept.read("a") is None
    assert list(kept.write("a", iter([SECTION]))) == [SECTION]
    assert kept.read("a") == [SECTION]
    assert Kept(tmp_path / "bench", Subject("def", "", 5, 4)).read("a") is None


def test_sections_of_an_interrupted_measurement_are_not_kept(tmp_path: Path) -> None:
    kept = Kept(tmp_path, SUBJECT)
    next(kept.write("a", iter([SECTION, SECTION])))
    assert kept.read("a") is None
