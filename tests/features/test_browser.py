"""Single-page applications: the refresh token is in a cookie, which only pages of listed origins can use."""

import json
import re
import subprocess
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from connexion import ConnexionMiddleware
from starlette.testclient import TestClient

from api import contract
from api.app import create_app
from api.config import Config
from tests.features.test_sessions import session_of
from tests.support.charter import free_port
from tests.support.concurrency import at_once
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import PASSWORD, Person
from tests.support.problems import assert_problem
from tests.support.readme import block
from tests.support.scopes import USER_SCOPE
from tests.support.serving import serving
from tests.support.shipped import CONTRACT
from tests.support.types import Events, Travel
from tests.support.workers import worker

OWN, LISTED, UNLISTED = "https://accounts.example.com", "https://app.example.com", "https://evil.example"
CALLS = ("login", "refresh", "logout")
COOKIE = re.compile(
    r"__Host-charter=([A-Za-z0-9_-]{64}); Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Strict", re.ASCII
)

# On a slow machine, the grace period of a token could end during a test.
pytestmark = pytest.mark.usefixtures("still")


def with_cookies(config: Config) -> Config:
    return replace(config, cookies="refresh", public_url=f"{OWN}/auth", cors_origins=(LISTED,))


@pytest.fixture
def app(config: Config) -> ConnexionMiddleware:
    return create_app(with_cookies(config))


def call(client: httpx.Client, name: str, token: str = "", **headers: str) -> httpx.Response:
    """Call an operation like a page of the listed origin, with this token in the cookie. `headers` replace others."""
    given = {"origin": LISTED} | {key.replace("_", "-"): value for key, value in headers.items()}
    if token:
        given["cookie"] = f"__Host-charter={token}"
    body = {"username": "alice", "password": PASSWORD} if name == "login" else None
    given = {key: value for key, value in given.items() if value}
    return client.post(f"/api/v1/browser/{name}", json=body, headers=given)


def token_in(response: httpx.Response) -> str:
    """Return the refresh token of the cookie in a response. Assert that the cookie has exactly its attributes."""
    assert response.status_code == 200, response.text
    (cookie,) = response.headers.get_list("set-cookie")
    found = COOKIE.fullmatch(cookie)
    assert found, cookie
    return found[1]


def log_in(client: httpx.Client) -> tuple[Person, str]:
    """Sign alice up, log in like a page, and return the user with the access token, and the refresh token."""
    alice = Person(client, "alice")
    assert alice.sign_up().status_code == 201
    response = call(client, "login")
    alice.token = response.json()["access_token"]
    return alice, token_in(response)


def test_a_log_in_returns_the_refresh_token_in_the_cookie_only(client: TestClient, events: Events) -> None:
    alice, token = log_in(client)
    response = call(client, "login")
    body = response.json()
    expected = {"token_type": "Bearer", "expires_in": 900, "refresh_expires_in": 2_592_000, "scope": USER_SCOPE}
    assert body == expected | {name: body[name] for name in ("access_token", "device_token")}
    assert token_in(response) not in response.text
    assert token_in(response) != token
    assert alice.get("/protected").status_code == 200
    assert [name for name, _ in events()] == ["user_created", "session_issued", "session_issued"]


def test_a_refresh_renews_the_cookie_and_continues_the_session(client: TestClient) -> None:
    alice, token = log_in(client)
    session = session_of(alice)
    response = call(client, "refresh", token)
    assert token_in(response) != token
    alice.token = response.json()["access_token"]
    assert response.json().keys() == {"access_token", "token_type", "expires_in", "refresh_expires_in", "scope"}
    assert (session_of(alice), len(alice.get("/api/v1/sessions").json()["items"])) == (session, 1)


def test_the_age_of_the_cookie_is_that_of_the_session(client: TestClient, travel: Travel) -> None:
    _, token = log_in(client)
    for _ in range(4):
        travel(timedelta(days=20))
        response = call(client, "refresh", token)
        token = response.headers["set-cookie"].partition("=")[2].partition(";")[0]
    days = 90 - 4 * 20
    assert f"; Max-Age={days * 86_400}; " in response.headers["set-cookie"]
    assert response.json()["refresh_expires_in"] == days * 86_400


def test_a_stolen_cookie_ends_the_session_after_the_grace_period(client: TestClient, travel: Travel) -> None:
    _, token = log_in(client)
    current = token_in(call(client, "refresh", token))
    assert token_in(call(client, "refresh", token)) == current
    travel(timedelta(seconds=31))
    assert_problem(call(client, "refresh", token), 401, "REFRESH_TOKEN_REUSED")
    assert_problem(call(client, "refresh", current), 401, "INVALID_REFRESH_TOKEN")


def test_two_tabs_that_refresh_at_once_share_the_session(app: ConnexionMiddleware) -> None:
    with serving(app) as server, httpx.Client(base_url=server) as client:
        alice, token = log_in(client)
        for _ in range(10):
            responses = at_once(*[partial(call, client, "refresh", token)] * 2)
            [token] = {token_in(response) for response in responses}
            for response in responses:
                alice.token = response.json()["access_token"]
                assert len(alice.get("/api/v1/sessions").json()["items"]) == 1


def test_a_log_out_deletes_the_cookie_and_ends_the_session(client: TestClient, events: Events) -> None:
    alice, token = log_in(client)
    response = call(client, "logout", token)
    assert (response.status_code, response.content) == (204, b"")
    deleted = "__Host-charter=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict"
    assert response.headers.get_list("set-cookie") == [deleted]
    assert events()[-1][0] == "session_revoked"
    assert_problem(alice.get("/protected"), 401, "INVALID_TOKEN")
    for name in ("refresh", "logout"):
        assert_problem(call(client, name, token), 401, "INVALID_REFRESH_TOKEN")


def test_a_log_out_ends_only_the_session_of_the_cookie(client: TestClient) -> None:
    alice, token = log_in(client)
    other = token_in(call(client, "login"))
    assert call(client, "logout", other).status_code == 204
    assert len(alice.get("/api/v1/sessions").json()["items"]) == 1
    assert call(client, "refresh", token).status_code == 200


FOREIGN = [
    {"origin": UNLISTED},
    {"origin": "null"},
    {"origin": f"{LISTED}.evil.example"},
    {"origin": f"{LISTED}:8443"},
    {"origin": LISTED.replace("https", "http")},
    {"origin": LISTED.upper()},
    {"origin": f"{OWN}/auth"},
    # A page of Charter's own origin would have an Origin that is listed.
    {"origin": UNLISTED, "sec_fetch_site": "same-origin"},
    {"origin": "", "sec_fetch_site": "same-site"},
    {"origin": "", "sec_fetch_site": "cross-site"},
    {"origin": "", "sec_fetch_site": "none"},
    {"origin": ""},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_requests_of_other_pages_change_nothing(client: TestClient, headers: dict[str, str]) -> None:
    alice, token = log_in(client)
    before = alice.get("/api/v1/sessions").json()
    for name in CALLS:
        response = call(client, name, token, **headers)
        assert_problem(response, 403, "FOREIGN_ORIGIN")
        assert "set-cookie" not in response.headers
    assert alice.get("/api/v1/sessions").json() == before
    # The token was not used: its successor is computed only now.
    assert token_in(call(client, "refresh", token)) != token


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": LISTED},
        {"origin": OWN},
        {"origin": LISTED, "sec_fetch_site": "same-site"},
        {"origin": "", "sec_fetch_site": "same-origin"},
    ],
)
def test_pages_of_listed_origins_and_the_own_one_use_the_cookie(client: TestClient, headers: dict[str, str]) -> None:
    _, token = log_in(client)
    assert [call(client, name, token, **headers).status_code for name in CALLS] == [200, 200, 204]


@pytest.mark.parametrize(
    "token", ["", " ", "x", "x" * 64, "é" * 64, "=" * 64, "x" * 65, "x" * 300, "!" + "x" * 63, "a%20b"]
)
def test_a_malformed_cookie_is_rejected(client: TestClient, token: str) -> None:
    for name in ("refresh", "logout"):
        cookie = f"__Host-charter={token}".encode("latin-1")
        response = client.post(f"/api/v1/browser/{name}", headers={b"origin": LISTED.encode(), b"cookie": cookie})
        assert_problem(response, 401, "INVALID_REFRESH_TOKEN")


def test_one_cookie_is_required(client: TestClient) -> None:
    _, token = log_in(client)
    for name in ("refresh", "logout"):
        response = call(client, name)
        assert_problem(response, 401, "MISSING_TOKEN")
        assert response.headers["www-authenticate"] == 'ApiKey realm="Charter"'
        twice = f"__Host-charter={token}; __Host-charter={token}"
        assert_problem(call(client, name, cookie=twice), 401, "INVALID_CREDENTIALS")
        # Neither the access token nor a cookie of another name is enough.
        assert_problem(call(client, name, cookie=f"charter={token}"), 401, "MISSING_TOKEN")


def test_a_cookie_authorizes_no_other_operation(client: TestClient) -> None:
    _, token = log_in(client)
    readers = set()
    for operation in CONTRACT.operations():
        readers |= {operation.id} if any("refreshCookie" in each for each in operation.security) else set()
        if operation.security and operation.id not in {"refreshBrowser", "logOutBrowser"}:
            headers = {"origin": LISTED, "cookie": f"__Host-charter={token}"}
            path = operation.path.replace("{session_id}", "019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d")
            assert client.request(operation.method, path, headers=headers).status_code == 401
    assert readers == {"refreshBrowser", "logOutBrowser"}


def test_each_operation_of_the_tag_checks_the_origin() -> None:
    found = [operation for operation in CONTRACT.operations() if "browser" in operation.definition["tags"]]
    assert {operation.path.rpartition("/")[2] for operation in found} == set(CALLS)
    assert {operation.feature for operation in found} == {"cookies"}


def test_without_the_setting_the_operations_are_off(config: Config) -> None:
    with worker(replace(config, cors_origins=(LISTED,))) as client:
        for name in CALLS:
            response = call(client, name, "x" * 64)
            assert_problem(response, 403, "SWITCHED_OFF")
            assert "access-control-allow-credentials" not in response.headers


def test_only_pages_of_listed_origins_may_send_cookies(client: TestClient) -> None:
    requested = {"access-control-request-method": "POST"}
    for method, headers in (("POST", {}), ("OPTIONS", requested)):
        for origin, allowed in ((LISTED, "true"), (UNLISTED, None), (OWN, None)):
            response = client.request(method, "/api/v1/browser/refresh", headers=headers | {"origin": origin})
            assert response.headers.get("access-control-allow-credentials") == allowed
    assert "set-cookie" not in call(client, "refresh").headers["access-control-expose-headers"]
    # Scripts cannot set these, so no preflight asks for them.
    allowed = client.options("/ping", headers=requested | {"origin": LISTED}).headers["access-control-allow-headers"]
    assert allowed == "accept-language, authorization, content-type, idempotency-key, traceparent"


def test_log_ins_have_the_limits_of_other_log_ins(config: Config) -> None:
    limits = {operation.id: policies for operation, policies in contract.limited(CONTRACT)}
    assert limits["logInBrowser"] == limits["logIn"]
    with worker(replace(with_cookies(config), rate_limits=("logInBrowser.account=1/60",))) as client:
        body = {"username": "alice", "password": "wrong"}
        for status in (401, 429):
            response = client.post("/api/v1/browser/login", json=body, headers={"origin": LISTED})
            assert response.status_code == status


@pytest.fixture
def ports() -> tuple[int, int]:
    """Two free ports for pages."""
    return free_port(), free_port()


@pytest.mark.slow
def test_pages_in_a_browser_use_the_cookie(config: Config, ports: tuple[int, int]) -> None:
    origins = (f"http://127.0.0.1:{ports[0]}",)
    app = create_app(replace(config, cookies="refresh", public_url="http://127.0.0.1:8000", cors_origins=origins))
    with serving(app) as server:
        program = block("let token;").text.replace("https://api.example.com", server)
        report = visited(program, server, *map(str, ports))
    assert report["written"] == [False, "string", 200, "string"]
    (cookie,) = report["cookies"]
    given = {"name": "__Host-charter", "path": "/", "httpOnly": True, "secure": True, "sameSite": "Strict"}
    assert {name: cookie[name] for name in given} == given
    # No script can read the cookie.
    assert (report["readable"], report["logIn"]["status"]) == ("", 200)
    assert "refresh_token" not in report["logIn"]["body"]
    assert [tab["status"] for tab in report["tabs"]] == [200, 200]
    assert report["sessions"] == 1
    # Another port is another origin, but the same site, so the browser sends the cookie. Without it, there were a 401.
    attack = report["attack"]
    assert attack == {"fetch": "TypeError", "noCors": 403, "form": 403, "image": "error", "script": "TypeError"}
    assert report["after"] == report["before"]
    assert (report["logOut"]["status"], report["left"], report["refresh"]["status"]) == (204, [], 401)


def visited(*arguments: str) -> Any:
    """Run the pages in a browser, and return their report."""
    command: list[str | Path] = [BIN / "node", CHECKOUT / "tests/node/cookies.mjs", *arguments]
    browser = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert browser.returncode == 0, browser.stdout + browser.stderr
    return json.loads(browser.stdout)
