"""Paths, methods and queries select an operation, and only in their exact form."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest
from connexion import ConnexionMiddleware
from starlette.testclient import TestClient
from starlette.types import Message

from tests.support.person import Person, newcomer
from tests.support.raw_http import SIGN_UP, RawConnection, raw_request


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
def test_only_the_exact_path_matches_an_operation(connect: Callable[[], RawConnection], path: str) -> None:
    connection = connect()
    connection.send(raw_request(f"GET {path}"))
    response = connection.read_response()
    assert (response.status, response.headers.get("location")) in {(404, None), (400, None)}


def test_a_stray_slash_does_not_reuse_the_previous_caller(server: str, connect: Callable[[], RawConnection]) -> None:
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
    connection = connect()
    connection.send(raw_request("GET /api/v1/me", f"Authorization: Bearer {alice.token}"))
    assert json.loads(connection.read_response().body)["username"] == "alice"
    for path in ("//api/v1/me", "/api/v1/me"):
        connection.send(raw_request(f"GET {path}"))
        assert connection.read_response().status == (404 if path.startswith("//") else 401)


def test_percent_encoded_letters_in_a_path_are_decoded(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request("GET /%70ing"))
    assert connection.read_response().status == 200


def test_absolute_urls_are_accepted_as_targets(connect: Callable[[], RawConnection]) -> None:
    connection = connect()
    connection.send(raw_request("GET http://127.0.0.1/ping"))
    assert connection.read_response().status == 200
    for target in ("http://127.0.0.1", "http://127.0.0.1?/ping"):
        connection.send(raw_request(f"GET {target}"))
        assert connection.read_response().code == "NOT_FOUND"


@pytest.mark.parametrize("target", ["/ping#" + "x" * 60_000, "/ping#", "/ping?#a", f"http://{'a' * 60_000}/ping"])
def test_fragments_and_long_authorities_are_rejected(connect: Callable[[], RawConnection], target: str) -> None:
    connection = connect()
    connection.send(raw_request(f"GET {target}"))
    assert connection.read_response().code == "MALFORMED_REQUEST"
    assert connection.is_closed()


def test_request_lines_over_the_limit_are_rejected(connect: Callable[[], RawConnection]) -> None:
    for target in ("/ping?" + "&" * 60_000, "/%41" * 15_000):
        connection = connect()
        connection.send(raw_request(f"GET {target}"))
        assert connection.read_response().code == "HEADERS_TOO_LARGE"


@pytest.mark.parametrize("query", ["a=1", "access_token=x", "%FF=1", "a=%00", "a", "a=1&a=2"])
def test_unknown_query_parameters_are_rejected(client: TestClient, query: str) -> None:
    response = client.get(f"/ping?{query}")
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, "/query")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/ping", "GET, HEAD"),
        ("OPTIONS", SIGN_UP, "POST"),
        ("BREW", SIGN_UP, "POST"),
        ("HEAD", SIGN_UP, "POST"),
        ("TRACE", "/api/v1/me", "GET, HEAD, PATCH"),
    ],
)
def test_allow_is_computed_from_the_contract(client: TestClient, method: str, path: str, allow: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allow)
    assert response.headers["content-type"] == "application/problem+json"


def test_error_responses_to_head_have_no_body(app: ConnexionMiddleware) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "HEAD", "path": "/nothing", "raw_path": b"/nothing", "query_string": b""}
    asyncio.run(app({**scope, "http_version": "1.1", "headers": [(b"host", b"a")]}, receive, send))
    assert [(message.get("status"), message.get("body")) for message in sent] == [(404, None), (None, b"")]


def test_head_returns_the_headers_of_get_without_a_body(client: TestClient, alice: Person) -> None:
    get, head = alice.get("/api/v1/me"), client.head("/api/v1/me", headers=alice.headers)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", get.headers["content-length"])
