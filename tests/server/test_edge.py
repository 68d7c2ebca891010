"""What a stranger can send over a socket: each byte gets the answer HTTP and the contract have for it."""

import asyncio
import json
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from connexion import ConnexionMiddleware
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from api.config import Config
from tests.support.charter import until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.serving import serving

SIGN_UP = "/api/v1/auth/signup"
FORM = json.dumps({"username": "alice", "email": "alice@example.com", "password": PASSWORD}).encode()


DEADLINE = PATIENCE_SECONDS
"""Every deadline of the server, because tests/support/patience.py makes them as long."""


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    return sqlite_config


class RawAnswer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> object:
        return json.loads(self.body)["code"]


class Wire:
    """One connection, on which anything can be said."""

    def __init__(self, server: str) -> None:
        address = urlsplit(server)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=PATIENCE_SECONDS)
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self, *, has_body: bool = True) -> RawAnswer:
        """The next answer, whose length must be announced."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return RawAnswer(status, headers, self._file.read(int(headers.get("content-length", "0")) if has_body else 0))

    def everything(self) -> bytes:
        """All that still comes, until the server hangs up or breaks off."""
        received = b""
        try:
            while piece := self._socket.recv(65_536):
                received += piece
        except ConnectionError:
            pass
        return received

    def pieces(self) -> Iterator[bytes]:
        """All that still comes, piece by piece."""
        while piece := self._socket.recv(65_536):
            yield piece

    def is_held(self) -> bool:
        """Return True unless the kernel says that the server has let go of its end; nothing is read from this end."""
        ours, theirs = (f":{address[1]:04X}" for address in (self._socket.getsockname(), self._socket.getpeername()))
        links = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()]
        # An end that no process holds has no inode, though the kernel may still have something to send.
        return any(link[1].endswith(theirs) and link[2].endswith(ours) and link[9] != "0" for link in links)

    def is_closed(self) -> bool:
        """Whether the server has hung up; waits until it says something or does."""
        return self._file.read(1) == b""

    def is_open(self) -> bool:
        """Whether an answer is there or can still come; waits at most a moment."""
        self._socket.settimeout(1)
        try:
            return self._file.peek(1) != b""
        except TimeoutError:
            return True

    def break_off(self) -> None:
        """Leave without a word of farewell: RST, not FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def say_no_more(self) -> None:
        """Close the own side: what was sent is all."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def dial(server: str) -> Iterator[Callable[[], Wire]]:
    """Opens a connection to the live server."""
    wires = []

    def dial() -> Wire:
        wires.append(Wire(server))
        return wires[-1]

    yield dial
    for wire in wires:
        wire.close()


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A request as bytes, with its Host and, unless it has a length of its own, its Content-Length."""
    lines = [f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body and not any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def post(*headers: str, body: bytes = FORM) -> bytes:
    return request(f"POST {SIGN_UP}", *headers, body=body)


# Paths


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/me",
        "/api/v1/me/",
        "/api//v1/me",
        "/api/v1%2Fme",
        "/api/v1/./me",
        "/api/v1/x/../me",
        "/api/v1/me%00",
        "/api/v1/me;x",
        "/%2e/ping",
        "/ping%20",
        "/ping/",
        "/PING",
        "/pi%FFng",
        "/docs/",
        "/docs/../config.py",
        "*",
    ],
)
def test_only_the_exact_path_is_the_operation(dial: Callable[[], Wire], path: str) -> None:
    wire = dial()
    wire.send(request(f"GET {path}"))
    answer = wire.answer()
    assert (answer.status, answer.headers.get("location")) in {(404, None), (400, None)}


def test_a_stray_slash_never_meets_the_caller_before(server: str, dial: Callable[[], Wire]) -> None:
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
    wire = dial()
    wire.send(request("GET /api/v1/me", f"Authorization: Bearer {alice.token}"))
    assert json.loads(wire.answer().body)["username"] == "alice"
    for path in ("//api/v1/me", "/api/v1/me"):
        wire.send(request(f"GET {path}"))
        assert wire.answer().status == (404 if path.startswith("//") else 401)


def test_a_request_starts_with_nothing_of_the_one_before() -> None:
    caller = ContextVar("caller", default=b"nobody")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            response = PlainTextResponse(caller.get())
            caller.set(b"alice")
            await response(scope, receive, send)

    with serving(app) as server:
        wire = Wire(server)
        # The server begins with a pipelined request while it ends the one before.
        wire.send(request("GET /") * 3)
        assert [wire.answer().body for _ in range(3)] == [b"nobody"] * 3
        wire.close()


def test_an_encoded_letter_is_the_letter(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request("GET /%70ing"))
    assert wire.answer().status == 200


# Methods


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/ping", "GET, HEAD"),
        ("OPTIONS", SIGN_UP, "POST"),
        ("BREW", SIGN_UP, "POST"),
        ("HEAD", SIGN_UP, "POST"),
        ("TRACE", "/api/v1/me", "GET, HEAD"),
    ],
)
def test_allow_is_computed_from_the_contract(client: TestClient, method: str, path: str, allow: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_error_to_head_has_no_body_either(app: ConnexionMiddleware) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "HEAD", "path": "/nothing", "raw_path": b"/nothing", "query_string": b""}
    asyncio.run(app({**scope, "http_version": "1.1", "headers": [(b"host", b"a")]}, receive, send))
    assert [(message.get("status"), message.get("body")) for message in sent] == [(404, None), (None, b"")]


def test_head_is_get_without_the_body(client: TestClient, alice: Person) -> None:
    get, head = alice.get("/api/v1/me"), client.head("/api/v1/me", headers=alice.headers)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", get.headers["content-length"])


# Bodies


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json; charset=hz",
        "application/json; charset=utf-7",
        "application/json; charset=cp037",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/problem+json",
        "",
    ],
)
def test_any_other_media_type_is_refused(client: TestClient, media_type: str) -> None:
    answer = client.post(SIGN_UP, content=FORM, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_without_a_media_type_is_refused(client: TestClient) -> None:
    assert client.post(SIGN_UP, content=FORM).status_code == 415


def test_a_content_coding_is_refused(client: TestClient) -> None:
    answer = client.post(
        SIGN_UP, content=FORM, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "media_type", ["Application/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"']
)
def test_the_media_type_is_the_same_in_any_case(client: TestClient, media_type: str) -> None:
    bad = client.post(SIGN_UP, content=b'{"role": "admin"}', headers={"Content-Type": media_type})
    assert (bad.status_code, bad.json()["code"]) == (400, "INVALID_INPUT")
    assert client.post(SIGN_UP, content=FORM, headers={"Content-Type": media_type}).status_code == 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MALFORMED_JSON"),
        (b"{", "MALFORMED_JSON"),
        (b"\xef\xbb\xbf{}", "MALFORMED_JSON"),
        ('{"username": "alice"}'.encode("utf-16"), "MALFORMED_JSON"),
        (b'{"username": "\xff"}', "MALFORMED_JSON"),
        (b'{"username": NaN}', "MALFORMED_JSON"),
        (b'{"username": -Infinity}', "MALFORMED_JSON"),
        (b'{"username": 1e999}', "MALFORMED_JSON"),
        (b'{"username": ' + b"9" * 5000 + b"}", "MALFORMED_JSON"),
        (b'{"username": "\\u0000"}', "MALFORMED_JSON"),
        (b'{"username": "\\ud800"}', "MALFORMED_JSON"),
        (b'{"\\udfff": 1}', "MALFORMED_JSON"),
        (b"[" * 33 + b"]" * 33, "MALFORMED_JSON"),
        (b"[" * 30_000 + b"]" * 30_000, "MALFORMED_JSON"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "MALFORMED_JSON"),
        (b'{"username": "alice", "username": "admin"}', "REPEATED"),
        (b"[]", "WRONG_TYPE"),
        (b"null", "WRONG_TYPE"),
        (b'"alice"', "WRONG_TYPE"),
    ],
)
def test_json_has_one_meaning_or_is_refused(client: TestClient, body: bytes, code: str) -> None:
    answer = client.post(SIGN_UP, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    assert code in {fault["code"] for fault in answer.json()["errors"]}


def test_no_body_at_all_is_told_so(client: TestClient) -> None:
    answer = client.post(SIGN_UP)
    assert answer.json()["errors"] == [{"pointer": "/body", "code": "REQUIRED", "detail": "A body is required."}]


def test_a_chunked_body_arrives_whole(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request(f"POST {SIGN_UP}", "Content-Type: application/json", "Transfer-Encoding: chunked"))
    for piece in (FORM[:10], FORM[10:]):
        wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    wire.send(b"0\r\n\r\n")
    assert wire.answer().status == 201


def test_a_chunked_body_does_not_pass_the_limit(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request(f"POST {SIGN_UP}", "Content-Type: application/json", "Transfer-Encoding: chunked"))
    wire.send(b"10001\r\n" + b" " * 65_537 + b"\r\n")
    answer = wire.answer()
    assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")
    assert wire.is_closed()


def test_a_body_over_the_limit_is_refused_unread(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(post("Content-Type: application/json", "Content-Length: 200000000", body=b"{"))
    answer = wire.answer()
    assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")
    assert wire.is_closed()


# Headers


def test_headers_over_the_limit_are_refused(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request("GET /ping", f"X-Padding: {'x' * 20_000}"))
    answer = wire.answer()
    assert (answer.status, answer.code) == (431, "HEADERS_TOO_LARGE")


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "Host"])
def test_what_must_stand_once_does_not_stand_twice(dial: Callable[[], Wire], name: str) -> None:
    wire = dial()
    wire.send(request("GET /ping", f"{name}: a", f"{name}: b"))
    answer = wire.answer()
    assert (answer.status, answer.code) == (400, "MALFORMED_REQUEST")


def test_a_request_without_a_host_is_refused(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(b"GET /ping HTTP/1.1\r\n\r\n")
    assert wire.answer().code == "MALFORMED_REQUEST"


@pytest.mark.parametrize(
    "data",
    [
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"BREW /ping HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /ping HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /p\xc3\xb6ng HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /ping HTTP/2.0\r\nHost: a\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"0" * 4301 + b"\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /ping HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    ],
)
def test_what_is_not_http_is_refused_in_the_one_shape(dial: Callable[[], Wire], data: bytes) -> None:
    wire = dial()
    wire.send(data)
    answer = wire.answer()
    assert (answer.status, answer.code) == (400, "MALFORMED_REQUEST")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]


def test_a_refused_head_is_answered_without_a_body(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request("HEAD /ping", "Ho st: a"))
    head, _, body = wire.everything().partition(b"\r\n\r\n")
    assert (head.split()[1], body) == (b"400", b"")


def test_a_refusal_after_a_head_has_its_body(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request("HEAD /ping"))
    assert wire.answer(has_body=False).status == 200
    wire.send(request("BREW /ping"))
    assert wire.answer().code == "MALFORMED_REQUEST"


def test_a_refusal_does_not_overtake_the_answer_before_it(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(post("Content-Type: application/json") + b"\x00\x00\r\n\r\n")
    assert wire.answer().status == 201
    assert wire.is_closed()


def test_a_body_that_stops_being_http_behind_other_requests_is_refused_at_once(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request("GET /ping") * 2 + post("Transfer-Encoding: chunked", body=b"z\r\n"))
    assert [wire.answer().status for _ in range(2)] == [200, 200]
    assert wire.answer().code == "MALFORMED_REQUEST"
    assert wire.is_closed()


def test_trailers_are_not_headers(server: str, dial: Callable[[], Wire]) -> None:
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
    trailer = f"Authorization: Bearer {alice.token}".encode()
    for pause in (False, True):
        wire = dial()
        wire.send(request("GET /api/v1/me", "Transfer-Encoding: chunked") + (b"" if pause else b"0\r\n"))
        wire.send((b"0\r\n" if pause else b"") + trailer + b"\r\n\r\n")
        assert (wire.answer().status, wire.is_open()) == (401, True)


def test_a_trailer_that_ends_the_connection_is_answered_so(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(
        post("Transfer-Encoding: chunked", "Content-Type: application/json", body=b"0\r\nConnection: close\r\n\r\n")
    )
    assert wire.answer().headers["connection"] == "close"
    assert wire.is_closed()


def test_nobody_is_told_to_go_on_in_http_1_0(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(b"GET /ping HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")
    assert wire.answer().status == 200


def test_trailers_that_do_not_end_are_cut(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(post("Content-Type: application/json", "Transfer-Encoding: chunked", body=b"0\r\nX: "))
    for _ in range(10):
        wire.send(b"y" * 65_536)
    assert wire.answer().code == "MALFORMED_REQUEST"
    assert wire.is_closed()


def test_chunks_with_more_around_them_than_in_them_are_cut(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(post("Content-Type: application/json", "Transfer-Encoding: chunked", body=b""))
    for _ in range(200):
        wire.send(b"1;" + b"x" * 4096 + b"\r\n \r\n")
    assert wire.answer().code == "MALFORMED_REQUEST"
    assert wire.is_closed()


def test_a_body_in_chunks_of_one_byte_arrives_whole(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(post("Content-Type: application/json", "Transfer-Encoding: chunked", body=b""))
    body = FORM.ljust(65_536)
    wire.send(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
    assert wire.answer().status == 201


def test_an_answer_that_does_not_wait_for_the_body_ends_the_connection(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request("POST /nothing", "Content-Length: 999999999999"))
    answer = wire.answer()
    assert (answer.status, answer.headers["connection"]) == (404, "close")
    wire.send(b"x")
    assert wire.is_closed()


def test_a_flood_of_pipelined_requests_is_cut(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request("GET /ping") * 1000)
    answered = re.findall(rb"HTTP/1.1 ([0-9]+)", wire.everything())
    assert set(answered) == {b"200"}
    assert 1 <= len(answered) <= 40


@pytest.mark.parametrize("host", ["a b", "a/b?c@d", "[::1", "a:xx", "\xff\xfe", "a, b"])
def test_a_host_that_is_none_is_refused(dial: Callable[[], Wire], host: str) -> None:
    wire = dial()
    wire.send(f"GET /ping HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
    answer = wire.answer()
    assert (answer.status, answer.code) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example", "[::1]:80", "127.0.0.1:1", ""])
def test_any_other_host_is_served_alike(dial: Callable[[], Wire], host: str) -> None:
    wire = dial()
    wire.send(f"GET /ping HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
    assert wire.answer().status == 200


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_an_offer_to_upgrade_is_left_alone(dial: Callable[[], Wire], protocol: str) -> None:
    wire = dial()
    wire.send(request("GET /ping", "Connection: Upgrade", f"Upgrade: {protocol}"))
    assert wire.answer().status == 200


def test_clients_that_leave_early_are_no_errors(
    server: str, dial: Callable[[], Wire], caplog: pytest.LogCaptureFixture
) -> None:
    for pause in (0, 0.01, 0.02, 0.05):
        wire = dial()
        wire.send(request("GET /docs/swagger-ui-bundle.js") * 5)
        sleep(pause)
        wire.break_off()
    sleep(1)
    assert httpx.get(f"{server}/ping").status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_request_that_two_layers_refuse_is_no_error(
    dial: Callable[[], Wire], caplog: pytest.LogCaptureFixture
) -> None:
    wire = dial()
    wire.send(request("POST /nothing", "Transfer-Encoding: chunked", body=b"z\r\n"))
    assert wire.answer().code == "MALFORMED_REQUEST"
    assert wire.is_closed()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_the_body_of_an_offer_to_upgrade_is_not_the_next_request(dial: Callable[[], Wire]) -> None:
    wire = dial()
    inner = request("GET /ping")
    wire.send(post("Connection: Upgrade", "Upgrade: h2c", f"Content-Length: {len(inner)}", body=b"\r\n"))
    wire.send(inner)
    assert wire.answer().code == "MALFORMED_REQUEST"
    assert wire.is_closed()


def test_a_request_line_over_the_limit_is_refused(dial: Callable[[], Wire]) -> None:
    for target in ("/ping?" + "&" * 60_000, "/%41" * 15_000):
        wire = dial()
        wire.send(request(f"GET {target}"))
        assert wire.answer().code == "HEADERS_TOO_LARGE"


@pytest.mark.parametrize("target", ["/ping#" + "x" * 60_000, "/ping#", "/ping?#a", f"http://{'a' * 60_000}/ping"])
def test_a_target_holds_nothing_that_nobody_reads(dial: Callable[[], Wire], target: str) -> None:
    wire = dial()
    wire.send(request(f"GET {target}"))
    assert wire.answer().code == "MALFORMED_REQUEST"
    assert wire.is_closed()


def test_a_whole_url_is_the_path_in_it(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(request("GET http://127.0.0.1/ping"))
    assert wire.answer().status == 200


def test_headers_that_do_not_end_are_cut(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(b"GET /ping HTTP/1.1\r\nHost: a\r\nX-Padding: ")
    for _ in range(40):
        wire.send(b"x" * 1024)
    answer = wire.answer()
    assert (answer.status, answer.code) == (431, "HEADERS_TOO_LARGE")


@pytest.mark.parametrize("query", ["a=1", "access_token=x", "%FF=1", "a=%00", "a", "a=1&a=2"])
def test_unknown_query_parameters_are_refused(client: TestClient, query: str) -> None:
    answer = client.get(f"/ping?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/query")


def test_no_banner_tells_what_serves(dial: Callable[[], Wire]) -> None:
    for data in (request("GET /ping"), request("GET /nothing"), b"x\r\n\r\n"):
        wire = dial()
        wire.send(data)
        assert not {"server", "x-powered-by", "via"} & wire.answer().headers.keys()


def test_every_json_answer_says_what_it_is(client: TestClient) -> None:
    for path in ("/ping", "/protected", "/nothing", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_a_foreign_host_is_never_echoed(client: TestClient) -> None:
    for path in ("/ping/", "/nothing", "/docs", "/openapi.json"):
        answer = client.get(path, headers={"Host": "evil.example", "Origin": "https://evil.example"})
        assert "evil.example" not in answer.text + str(answer.headers)


# Many at once


def test_pipelined_requests_are_answered_in_order(dial: Callable[[], Wire]) -> None:
    wire = dial()
    wire.send(
        request("GET /ping") + request("GET /nothing") + post("Content-Type: application/json") + request("GET /ping")
    )
    assert [wire.answer().status for _ in range(4)] == [200, 404, 201, 200]


def test_stalled_bodies_hold_nobody_up(server: str, dial: Callable[[], Wire]) -> None:
    stalled = [dial() for _ in range(60)]
    for wire in stalled:
        wire.send(
            request("GET /ping", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 100", body=b"a")
        )
    assert all(httpx.get(f"{server}/ping").status_code == 200 for _ in range(20))


class Clock:
    """The monotonic clock, and the seconds that a test has moved it on by."""

    offset = 0.0

    def time(self) -> float:
        return monotonic() + self.offset


class TestTime:
    """Deadlines of the server, whose clock the test moves."""

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
        # The clock of uvloop cannot be moved. This one must not go back while the server runs.
        with serving(app, loop="asyncio") as base_url:
            yield base_url

    @pytest.fixture
    def wait(self, server: str, clock: Clock) -> Callable[[float], None]:
        """Move the clock of the server, after the server has read what was sent before."""

        def move(seconds: float) -> None:
            # Connections are served in turn: when this one is answered, what the others sent is read.
            assert httpx.get(f"{server}/ping").status_code == 200
            clock.offset += seconds
            # It wakes the event loop, which then runs all timers that are due.
            assert httpx.get(f"{server}/ping").status_code == 200

        return move

    def test_headers_that_stall_are_cut(self, dial: Callable[[], Wire], wait: Callable[[float], None]) -> None:
        silent, stalled, hardly_begun = dial(), dial(), dial()
        stalled.send(b"GET /ping HTTP/1.1\r\nHost: a\r\n")
        hardly_begun.send(b"\r\n")
        wait(DEADLINE)
        for wire in (stalled, hardly_begun):
            answer = wire.answer()
            assert (answer.status, answer.code) == (408, "REQUEST_TOO_SLOW")
            assert wire.is_closed()
        assert silent.is_closed()

    def test_a_line_break_between_requests_buys_no_time(
        self, dial: Callable[[], Wire], wait: Callable[[float], None]
    ) -> None:
        wire = dial()
        wire.send(request("GET /ping"))
        assert wire.answer().status == 200
        wire.send(b"\r\n")
        wait(DEADLINE)
        assert wire.answer().code == "REQUEST_TOO_SLOW"
        assert wire.is_closed()

    def test_the_time_for_headers_does_not_end_a_body(
        self, dial: Callable[[], Wire], wait: Callable[[float], None]
    ) -> None:
        wire = dial()
        wire.send(post("Content-Type: application/json", f"Content-Length: {len(FORM)}", body=FORM[:10]))
        wire.send(FORM[10:20])
        wait(2 * DEADLINE)
        wire.send(FORM[20:])
        assert wire.answer().status == 201

    def test_a_stalled_body_is_cut(
        self, config: Config, dial: Callable[[], Wire], wait: Callable[[float], None]
    ) -> None:
        wire = dial()
        wire.send(post("Content-Type: application/json", "Content-Length: 100", body=b"{"))
        wait(config.body_seconds)
        answer = wire.answer()
        assert (answer.status, answer.code) == (408, "REQUEST_TOO_SLOW")
        assert wire.is_closed()

    def test_an_old_connection_ends_with_its_next_answer(
        self, dial: Callable[[], Wire], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wire = dial()
        wire.send(request("GET /ping"))
        assert "connection" not in wire.answer().headers
        monkeypatch.setattr("api.server.protocol.monotonic", lambda: monotonic() + DEADLINE)
        wire.send(request("GET /ping"))
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert wire.is_closed()

    def test_a_client_that_says_no_more_still_gets_its_answer(self, dial: Callable[[], Wire]) -> None:
        wire = dial()
        wire.send(post("Content-Type: application/json"))
        wire.say_no_more()
        assert wire.answer().status == 201
        assert wire.is_closed()

    def test_a_client_that_does_not_read_is_cut(self, dial: Callable[[], Wire], wait: Callable[[float], None]) -> None:
        wire = dial()
        wire.send(request("GET /docs/swagger-ui-bundle.js") * 12)

        def is_cut() -> bool:
            wait(DEADLINE)
            return not wire.is_held()

        until(is_cut)
        assert wire.everything().count(b"HTTP/1.1 200 OK") < 12

    def test_a_client_that_reads_slowly_is_not_cut(
        self, dial: Callable[[], Wire], wait: Callable[[float], None]
    ) -> None:
        wire, received = dial(), b""
        wire.send(request("GET /docs/swagger-ui-bundle.js") + request("GET /ping", "Connection: close"))
        turns = [500_000, 1_000_000]
        for piece in wire.pieces():
            received += piece
            if turns and len(received) > turns[0]:
                turns.pop(0)
                wait(DEADLINE)
        assert turns == []
        assert received.endswith(b'{"status":"running"}')
