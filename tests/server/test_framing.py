"""Malformed HTTP, headers, trailers and upgrade offers on a live server."""

from collections.abc import Callable

import httpx
import pytest

from tests.support.person import newcomer
from tests.support.raw_http import SIGN_UP_BODY, RawConnection, raw_request, sign_up_request


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
def test_malformed_http_gets_a_problem_response(connect: Callable[[], RawConnection], data: bytes) -> None:
    connection = connect()
    connection.send(data)
    response = connection.read_response()
    assert (response.status, response.code) == (400, "MALFORMED_REQUEST")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]


def test_a_rejected_head_request_gets_no_body(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request("HEAD /ping", "Ho st: a"))
    head, _, body = connection.read_all().partition(b"\r\n\r\n")
    assert (head.split()[1], body) == (b"400", b"")


def test_a_request_rejected_by_two_layers_logs_no_error(
    connect: Callable[[], RawConnection], caplog: pytest.LogCaptureFixture
) -> None:
    connection = connect()
    connection.send(raw_request("POST /nothing", "Transfer-Encoding: chunked", body=b"z\r\n"))
    assert connection.read_response().code == "MALFORMED_REQUEST"
    assert connection.is_closed()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_headers_over_the_limit_are_rejected(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request("GET /ping", f"X-Padding: {'x' * 20_000}"))
    response = connection.read_response()
    assert (response.status, response.code) == (431, "HEADERS_TOO_LARGE")


@pytest.mark.parametrize("pieces", [1, 40])
@pytest.mark.parametrize("earlier", [0, 1])
def test_endless_headers_are_rejected(connect: Callable[[], RawConnection], pieces: int, earlier: int) -> None:
    connection = connect()
    for _ in range(earlier):
        connection.send(raw_request("GET /ping"))
        assert connection.read_response().status == 200
    start = b"GET /ping HTTP/1.1\r\nHost: a\r\nX-Padding: "
    for piece in [start + b"x" * (40_960 // pieces)] + [b"x" * (40_960 // pieces)] * (pieces - 1):
        connection.send(piece)
    response = connection.read_response()
    assert (response.status, response.code) == (431, "HEADERS_TOO_LARGE")


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "Host"])
def test_duplicate_singleton_headers_are_rejected(connect: Callable[[], RawConnection], name: str) -> None:
    connection = connect()
    connection.send(raw_request("GET /ping", f"{name}: a", f"{name}: b"))
    response = connection.read_response()
    assert (response.status, response.code) == (400, "MALFORMED_REQUEST")


def test_requests_without_a_host_are_rejected(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(b"GET /ping HTTP/1.1\r\n\r\n")
    assert connection.read_response().code == "MALFORMED_REQUEST"


@pytest.mark.parametrize("host", ["a b", "a/b?c@d", "[::1", "a:xx", "\xff\xfe", "a, b"])
def test_invalid_hosts_are_rejected(connect: Callable[[], RawConnection], host: str) -> None:
    connection = connect()
    connection.send(f"GET /ping HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
    response = connection.read_response()
    assert (response.status, response.code) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example", "[::1]:80", "127.0.0.1:1", ""])
def test_unknown_but_valid_hosts_are_served(connect: Callable[[], RawConnection], host: str) -> None:
    connection = connect()
    connection.send(f"GET /ping HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
    assert connection.read_response().status == 200


def test_trailers_are_not_headers(server: str, connect: Callable[[], RawConnection]) -> None:
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
    trailer = f"Authorization: Bearer {alice.token}".encode()
    for pause in (False, True):
        connection = connect()
        connection.send(raw_request("GET /api/v1/me", "Transfer-Encoding: chunked") + (b"" if pause else b"0\r\n"))
        connection.send((b"0\r\n" if pause else b"") + trailer + b"\r\n\r\n")
        connection.send(raw_request("GET /ping"))
        assert [connection.read_response().status for _ in range(2)] == [401, 200]


def test_connection_close_in_a_trailer_closes_the_connection(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(
        sign_up_request(
            "Transfer-Encoding: chunked", "Content-Type: application/json", body=b"0\r\nConnection: close\r\n\r\n"
        )
    )
    assert connection.read_response().headers["connection"] == "close"
    assert connection.is_closed()


def test_endless_trailers_are_rejected(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(sign_up_request("Content-Type: application/json", "Transfer-Encoding: chunked", body=b"0\r\nX: "))
    for _ in range(10):
        connection.send(b"y" * 65_536)
    assert connection.read_response().code == "MALFORMED_REQUEST"
    assert connection.is_closed()


def test_expect_100_continue_is_ignored_in_http_1_0(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(b"GET /ping HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")
    assert connection.read_response().status == 200


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.0", "h2c, websocket"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_upgrade_offers_are_ignored(connect: Callable[[], RawConnection], protocol: str, version: str) -> None:
    connection = connect()
    offer = raw_request("GET /ping", "Connection: Upgrade", f"Upgrade: {protocol}")
    connection.send(offer.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
    response = connection.read_response()
    assert (response.status, response.headers.get("connection")) == (200, {"1.0": "close", "1.1": None}[version])
    if version == "1.1":
        # Offers without a body, in one packet with other requests.
        connection.send(raw_request("GET /ping") + offer * 3 + raw_request("GET /nothing"))
        assert [connection.read_response().status for _ in range(5)] == [200] * 4 + [404]


# The bytes of `curl --http2 -d`. Java's HttpClient sends the same headers.
CURL = (
    "User-Agent: curl/8.5.0",
    "Accept: */*",
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    "Content-Type: application/json",
)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_an_upgrade_offer_with_a_body_is_served(
    connect: Callable[[], RawConnection], chunked: bool, pieces: int
) -> None:
    connection = connect()
    if chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SIGN_UP_BODY), SIGN_UP_BODY)
        data = sign_up_request(*CURL, "Transfer-Encoding: chunked", body=body)
    else:
        data = sign_up_request(*CURL)
    data += raw_request("GET /ping")
    size = -(-len(data) // pieces)
    for start in range(0, len(data), size):
        connection.send(data[start : start + size])
    assert [connection.read_response().status for _ in range(2)] == [201, 200]
    connection.send(data)
    assert [connection.read_response().status for _ in range(2)] == [409, 200]


def test_the_body_of_an_upgrade_offer_is_not_parsed_as_a_request(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    inner = raw_request("DELETE /ping")
    connection.send(sign_up_request(*CURL, body=inner) + raw_request("GET /ping"))
    assert connection.read_response().code == "INVALID_INPUT"
    assert connection.read_response().status == 200
    connection.send(raw_request("GET /nothing"))
    assert connection.read_response().status == 404


def test_the_body_limits_apply_to_upgrade_offers(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(sign_up_request(*CURL, "Transfer-Encoding: chunked", body=b""))
    connection.send(b"10001\r\n" + b" " * 65_537 + b"\r\n")
    assert connection.read_response().code == "BODY_TOO_LARGE"
    assert connection.is_closed()


def test_malformed_data_after_an_upgrade_offer_is_rejected(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(sign_up_request(*CURL, "Transfer-Encoding: chunked", body=b"z\r\n"))
    assert connection.read_response().code == "MALFORMED_REQUEST"
    assert connection.is_closed()


def test_connect_closes_the_connection(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request("CONNECT /ping") + raw_request("GET /ping"))
    response = connection.read_response()
    assert (response.status, response.headers["connection"]) == (405, "close")
    assert connection.is_closed()
