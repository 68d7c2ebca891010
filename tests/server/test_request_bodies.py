"""Media types, JSON syntax, body limits and chunked bodies."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from tests.support.problems import assert_problem
from tests.support.raw_http import SIGN_UP, SIGN_UP_BODY, RawConnection, raw_request, sign_up_request


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json; charset=hz",
        "application/json; charset=utf-7",
        "application/json; charset=cp037",
        "application/json; charset=utf-8; charset=utf-7",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/problem+json",
        "",
    ],
)
def test_other_media_types_are_rejected(client: TestClient, media_type: str) -> None:
    response = client.post(SIGN_UP, content=SIGN_UP_BODY, headers={"Content-Type": media_type})
    assert_problem(response, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_without_a_media_type_is_rejected(client: TestClient) -> None:
    assert client.post(SIGN_UP, content=SIGN_UP_BODY).status_code == 415


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity, gzip", "identity2", ""])
def test_content_codings_are_rejected(client: TestClient, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    assert client.post(SIGN_UP, content=SIGN_UP_BODY, headers=headers).status_code == 415


@pytest.mark.parametrize("coding", ["identity", "Identity", "IDENTITY, identity"])
def test_the_coding_identity_is_accepted(client: TestClient, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    assert client.post(SIGN_UP, content=SIGN_UP_BODY, headers=headers).status_code == 201


@pytest.mark.parametrize(
    "media_type",
    [
        "Application/JSON",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8",
        'application/json; Charset="UTF8"',
    ],
)
def test_media_types_are_compared_without_regard_to_case(client: TestClient, media_type: str) -> None:
    invalid = client.post(SIGN_UP, content=b'{"role": "admin"}', headers={"Content-Type": media_type})
    assert_problem(invalid, 400, "INVALID_INPUT")
    assert client.post(SIGN_UP, content=SIGN_UP_BODY, headers={"Content-Type": media_type}).status_code == 201


@pytest.mark.parametrize("parameter", ["boundary=x", 'profile="a;b"', "a"])
def test_unknown_parameters_of_media_types_are_ignored(client: TestClient, parameter: str) -> None:
    headers = {"Content-Type": f"application/json; {parameter}"}
    assert client.post(SIGN_UP, content=SIGN_UP_BODY, headers=headers).status_code == 201


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
        (b'{"username": 1e999}', "TOO_LARGE"),
        (b'{"username": ' + b"9" * 5000 + b"}", "TOO_LARGE"),
        (b'{"username": "\\u0000"}', "WRONG_FORMAT"),
        (b'{"username": "\\ud800"}', "WRONG_FORMAT"),
        (b'{"\\udfff": 1}', "WRONG_FORMAT"),
        (b"[" * 33 + b"]" * 33, "MALFORMED_JSON"),
        (b"[" * 30_000 + b"]" * 30_000, "MALFORMED_JSON"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "MALFORMED_JSON"),
        (b'{"username": "alice", "username": "admin"}', "REPEATED"),
        (b"[]", "WRONG_TYPE"),
        (b"null", "WRONG_TYPE"),
        (b'"alice"', "WRONG_TYPE"),
    ],
)
def test_ambiguous_or_malformed_json_is_rejected(client: TestClient, body: bytes, code: str) -> None:
    response = client.post(SIGN_UP, content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 400, "INVALID_INPUT")
    assert code in {fault["code"] for fault in response.json()["errors"]}


def test_a_missing_body_is_reported_as_required(client: TestClient) -> None:
    response = client.post(SIGN_UP)
    assert response.json()["errors"] == [{"pointer": "/body", "code": "REQUIRED", "detail": "A body is required."}]


def test_chunked_bodies_are_accepted(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request(f"POST {SIGN_UP}", "Content-Type: application/json", "Transfer-Encoding: chunked"))
    for chunk in (SIGN_UP_BODY[:10], SIGN_UP_BODY[10:]):
        connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    connection.send(b"0\r\n\r\n")
    assert connection.read_response().status == 201


def test_chunked_bodies_over_the_limit_are_rejected(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request(f"POST {SIGN_UP}", "Content-Type: application/json", "Transfer-Encoding: chunked"))
    connection.send(b"10001\r\n" + b" " * 65_537 + b"\r\n")
    response = connection.read_response()
    assert (response.status, response.code) == (413, "BODY_TOO_LARGE")
    assert connection.is_closed()


def test_bodies_over_the_limit_are_rejected_unread(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(sign_up_request("Content-Type: application/json", "Content-Length: 200000000", body=b"{"))
    response = connection.read_response()
    assert (response.status, response.code) == (413, "BODY_TOO_LARGE")
    assert connection.is_closed()


def test_chunks_with_excessive_overhead_are_rejected(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(sign_up_request("Content-Type: application/json", "Transfer-Encoding: chunked", body=b""))
    for _ in range(200):
        connection.send(b"1;" + b"x" * 4096 + b"\r\n \r\n")
    assert connection.read_response().code == "MALFORMED_REQUEST"
    assert connection.is_closed()


def test_bodies_in_chunks_of_one_byte_are_accepted(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(sign_up_request("Content-Type: application/json", "Transfer-Encoding: chunked", body=b""))
    body = SIGN_UP_BODY.ljust(65_536)
    connection.send(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
    assert connection.read_response().status == 201


def test_a_response_before_the_body_closes_the_connection(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request("POST /nothing", "Content-Length: 999999999999"))
    response = connection.read_response()
    assert (response.status, response.headers["connection"]) == (404, "close")
    connection.send(b"x")
    assert connection.is_closed()
