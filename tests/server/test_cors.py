"""Browsers on other origins: every response of every layer has the headers, and only for listed origins."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flask
import pytest
from connexion import ConnexionMiddleware
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.handlers import system
from api.runtime.shutdown import GracefulShutdown
from api.server import protocol
from tests.support.charter import free_port
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.raw_http import SIGN_UP, RawConnection, RawResponse, raw_request
from tests.support.serving import serving

LISTED, UNLISTED = "https://app.example.com", "https://evil.example"
ORIGINS = [LISTED, UNLISTED, "null", f"{LISTED}/", f"{LISTED}:443", LISTED.upper(), f"{LISTED}.evil.example", None]
EXPOSED = (
    "content-disposition, content-security-policy, cross-origin-opener-policy, location, ratelimit, ratelimit-policy, "
    "referrer-policy, retry-after, www-authenticate, x-request-id"
)
LIMITED = ("wrong", "logIn", "limited")
ACCEPTED = "accept-language, authorization, content-type, idempotency-key, traceparent"


@pytest.fixture
def app(config: Config) -> ConnexionMiddleware:
    """An application for pages of one origin that is about to stop."""
    stopping = GracefulShutdown()
    stopping.draining = True
    return create_app(replace(config, cors_origins=(LISTED, "http://localhost:5173")), stopping)


def cors_headers(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


def assert_cors(headers: Any, origin: str | None) -> None:
    """Assert that a response has exactly the headers for a request of this origin."""
    expected = {"access-control-allow-origin": LISTED, "access-control-expose-headers": EXPOSED}
    assert cors_headers(headers) == (expected if origin == LISTED else {})
    assert headers["vary"] == "Origin"


def with_origin(origin: str | None) -> dict[str, str]:
    return {} if origin is None else {"origin": origin}


@pytest.mark.slow
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(
    ("status", "method", "path", "options"),
    [
        (200, "GET", "/ping", {}),
        (200, "GET", "/docs", {}),
        (400, "POST", SIGN_UP, {"json": {}}),
        (400, "GET", "/ping?%FF=\xff", {}),
        (401, "GET", "/protected", {}),
        (404, "GET", "/nothing", {}),
        (405, "DELETE", "/ping", {}),
        (405, "OPTIONS", "/ping", {}),
        (413, "POST", SIGN_UP, {"content": b"x" * 100_000, "headers": {"content-type": "application/json"}}),
        (415, "POST", SIGN_UP, {"content": b"x"}),
        (431, "GET", "/ping", {"headers": {"x-long": "x" * 20_000}}),
        (503, "GET", "/ready", {}),
    ],
)
def test_every_layer_sends_the_headers(
    client: TestClient, origin: str | None, status: int, method: str, path: str, options: dict[str, Any]
) -> None:
    headers = options.get("headers", {}) | with_origin(origin)
    response = client.request(method, path, **(options | {"headers": headers}))
    assert response.status_code == status
    assert_cors(response.headers, origin)


@pytest.mark.parametrize("origin", [LISTED, UNLISTED, "null", None])
def test_errors_of_handlers_have_the_headers(
    config: Config, monkeypatch: pytest.MonkeyPatch, origin: str | None
) -> None:
    monkeypatch.setattr(system, "ping", lambda: 1 / 0)
    # The contract does not declare a 429 for this operation.
    monkeypatch.setattr(system, "check_readiness", lambda: flask.abort(429))
    app = create_app(replace(config, cors_origins=(LISTED,), check_answers="off"))
    with TestClient(app) as client:
        for path, status in (("/ping", 500), ("/ready", 429)):
            response = client.get(path, headers=with_origin(origin))
            assert response.status_code == status
            assert_cors(response.headers, origin)


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("origin", [LISTED, UNLISTED, "null", None])
def test_a_refusal_of_the_rate_limiter_has_the_headers(config: Config, origin: str | None) -> None:
    app = create_app(replace(config, cors_origins=(LISTED,), rate_limits=("refreshTokens.address=1/60",)))
    with TestClient(app) as client:
        body = {"refresh_token": "unknown"}
        for status in (401, 429):
            response = client.post("/api/v1/auth/refresh", json=body, headers=with_origin(origin))
            assert response.status_code == status
            assert response.headers["ratelimit"] == '"address";r=0;t=60'
            assert_cors(response.headers, origin)
        assert response.headers["retry-after"] == "60"


@pytest.mark.parametrize("origin", [LISTED, UNLISTED, "null", None])
@pytest.mark.parametrize(
    ("status", "rest"),
    [
        (400, b"broken\r\n\r\n"),
        (400, b"Transfer-Encoding: chunked\r\n\r\nx"),
        (431, b"X-Long: " + b"x" * 1_000_000),
        (408, b"X-Unfinished: "),
    ],
)
def test_errors_of_the_http_parser_have_the_headers(
    connect: Callable[[], RawConnection], monkeypatch: pytest.MonkeyPatch, origin: str | None, status: int, rest: bytes
) -> None:
    if status == 408:
        monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.1)
    connection = connect()
    line = f"Origin: {origin}\r\n" if origin else ""
    # The parser reports a header when the next one begins.
    connection.send(f"POST {SIGN_UP} HTTP/1.1\r\nHost: a\r\n{line}Accept: */*\r\n".encode() + rest)
    response = connection.read_response()
    assert response.status == status
    assert_cors(response.headers, origin)


@pytest.mark.parametrize(("status", "data"), [(400, b"\x00\r\n\r\n"), (408, b"\r\n")])
def test_an_error_between_two_requests_has_no_origin(
    connect: Callable[[], RawConnection], monkeypatch: pytest.MonkeyPatch, status: int, data: bytes
) -> None:
    connection = connect()
    connection.send(raw_request("GET /ping", f"Origin: {LISTED}"))
    assert_cors(connection.read_response().headers, LISTED)
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.1)
    connection.send(data)
    response = connection.read_response()
    assert response.status == status
    assert_cors(response.headers, None)


def test_a_slow_body_gets_a_408_with_the_headers(config: Config) -> None:
    app = create_app(replace(config, cors_origins=(LISTED,), body_seconds=1))
    with serving(app) as server:
        response = stalled(server)
    assert response.status == 408
    assert_cors(response.headers, LISTED)


def stalled(server: str) -> RawResponse:
    """Send the headers of a request without its body, and return the response."""
    connection = RawConnection(server)
    try:
        headers = f"Origin: {LISTED}", "Content-Type: application/json", "Content-Length: 9"
        connection.send(raw_request(f"POST {SIGN_UP}", *headers))
        return connection.read_response()
    finally:
        connection.close()


def preflight(client: TestClient, path: str, origin: str = LISTED, method: str = "PATCH") -> Any:
    headers = {"origin": origin, "access-control-request-method": method}
    return client.options(path, headers=headers)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/me", "GET, HEAD, PATCH"),
        ("/api/v1/me/password", "PUT"),
        ("/api/v1/sessions/019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d", "DELETE"),
        ("/ping", "GET, HEAD"),
        ("/nothing", None),
        ("/docs", None),
        ("//api/v1/me", None),
    ],
)
def test_a_preflight_names_the_methods_of_the_path(client: TestClient, path: str, methods: str | None) -> None:
    response = preflight(client, path)
    assert (response.status_code, response.content) == (204, b"")
    expected = {"access-control-allow-origin": LISTED, "access-control-expose-headers": EXPOSED}
    if methods is not None:
        expected["access-control-allow-methods"] = methods
        expected |= {"access-control-allow-headers": ACCEPTED, "access-control-max-age": "600"}
    assert cors_headers(response.headers) == expected
    assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", [UNLISTED, "null", ""])
def test_a_preflight_of_another_origin_reveals_nothing(client: TestClient, origin: str) -> None:
    for path in ("/api/v1/me", "/nothing"):
        response = preflight(client, path, origin)
        assert (response.status_code, response.headers["vary"]) == (204, "Origin")
        assert cors_headers(response.headers) == {}


def test_options_without_the_headers_of_a_preflight_is_a_405(client: TestClient) -> None:
    for headers in ({}, {"origin": LISTED}, {"access-control-request-method": "GET"}):
        assert client.options("/ping", headers=headers).status_code == 405


def test_without_origins_no_response_has_the_headers(config: Config) -> None:
    with TestClient(create_app(config)) as client:
        assert preflight(client, "/ping").status_code == 405
        for path in ("/ping", "/nothing"):
            headers = client.get(path, headers={"origin": LISTED}).headers
            assert "vary" not in headers
            assert cors_headers(headers) == {}


@pytest.fixture
def ports() -> tuple[int, int]:
    """Two free ports for pages."""
    return free_port(), free_port()


@pytest.mark.usefixtures("still")
@pytest.mark.slow
def test_a_page_of_another_origin_uses_the_api(config: Config, ports: tuple[int, int]) -> None:
    stopping = GracefulShutdown()
    stopping.draining = True
    limit = "logIn.address=2/60"
    app = create_app(replace(config, cors_origins=(f"http://127.0.0.1:{ports[0]}",), rate_limits=(limit,)), stopping)
    with serving(app) as server:
        command: list[str | Path] = [BIN / "node", CHECKOUT / "tests/node/cors.mjs", server, *map(str, ports)]
        browser = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert browser.returncode == 0, browser.stdout + browser.stderr
    report = json.loads(browser.stdout)
    listed = report["listed"]
    statuses = {name: response["status"] for name, response in listed.items()}
    assert statuses == {
        "signUp": 201,
        "wrong": 401,
        "logIn": 200,
        "limited": 429,
        "profile": 200,
        "noToken": 401,
        "ready": 503,
        "logOut": 204,
    }
    assert listed["signUp"]["headers"]["location"] == "/api/v1/me"
    assert listed["wrong"]["body"]["code"] == "INVALID_CREDENTIALS"
    limits = [[listed[name]["headers"][header] for header in ("ratelimit", "ratelimit-policy")] for name in LIMITED]
    assert limits == [[f'"address";r={left};t=30', '"address";q=2;w=60'] for left in (1, 0, 0)]
    assert (listed["limited"]["headers"]["retry-after"], listed["limited"]["body"]["code"]) == ("30", "RATE_LIMITED")
    assert listed["noToken"]["headers"]["www-authenticate"] == "Bearer"
    assert listed["profile"]["body"]["username"] == "alice"
    assert re.fullmatch("[1-9][0-9]*", listed["ready"]["headers"]["retry-after"])
    assert all("x-request-id" in response["headers"] for response in listed.values())
    assert report["unlisted"] == {name: {"error": "TypeError"} for name in statuses}
