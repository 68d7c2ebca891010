"""The documentation page: in a browser, and each of its files."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from tests.support.caddy import caddy
from tests.support.charter import free_port, is_ready, until
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.serving import serving

NODE = BIN / "node"
SCRIPT = CHECKOUT / "tests/node/docs.mjs"


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    return sqlite_config


@pytest.fixture(params=["directly", "behind a proxy that strips a path"])
def base_url(request: pytest.FixtureRequest, config: Config, tmp_path: Path) -> Iterator[str]:
    """The URL of a live server, directly or behind a proxy."""
    if request.param == "directly":
        with serving(create_app(config)) as url:
            yield url
        return
    origin = f"http://127.0.0.1:{free_port()}"
    with serving(create_app(replace(config, public_url=f"{origin}/auth"))) as url:
        target = url.removeprefix("http://")
        text = f"{{\n\tadmin off\n}}\n{origin} {{\n\thandle_path /auth/* {{\n\t\treverse_proxy {target}\n\t}}\n}}\n"
        with caddy(tmp_path, text):
            until(lambda: is_ready(f"{origin}/auth"))
            yield f"{origin}/auth"


@pytest.mark.slow
def test_a_new_user_signs_up_and_calls_operations_on_the_page(base_url: str) -> None:
    browser = subprocess.run(
        [NODE, SCRIPT, base_url, "alice"], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert browser.returncode == 0, browser.stdout + browser.stderr
    report = json.loads(browser.stdout)
    user, grant = report["signUp"]["body"], report["logIn"]["body"]
    assert (user["username"], user["email"]) == ("alice", "alice@example.com")
    (session,) = report["sessions"]["body"]["items"]
    assert report == {
        "title": "Charter",
        "signUp": {"status": 201, "body": user},
        "logIn": {"status": 200, "body": grant},
        "protected": {"status": 200, "body": {"message": "Your token is good."}},
        "profile": {"status": 200, "body": user},
        "sessions": {"status": 200, "body": {"items": [session | {"current": True}], "next_cursor": None}},
        "scopes": 'x-scopes\t["profile"]',
        "banners": [],
        "consoleErrors": [],
        "pageErrors": [],
        "failedRequests": [],
        "strayRequests": [],
        "violations": [],
    }


def test_the_page_allows_only_its_own_scripts_and_no_framing(client: TestClient) -> None:
    page = client.get("/docs")
    policy = dict(directive.split(" ", 1) for directive in page.headers["content-security-policy"].split("; "))
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in str(policy)


def test_page_files_are_served_with_their_media_types(client: TestClient) -> None:
    page = client.get("/docs")
    responses = [client.get(urljoin(str(page.url), name)) for name in re.findall(r'(?:href|src)="([^"]+)"', page.text)]
    assert {urlsplit(str(response.url)).path: response.headers["content-type"] for response in responses} == {
        "/docs/favicon-32x32.png": "image/png",
        "/docs/index.css": "text/css; charset=utf-8",
        "/docs/start.js": "text/javascript; charset=utf-8",
        "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "/docs/swagger-ui.css": "text/css; charset=utf-8",
    }
    assert {(response.status_code, response.headers["x-content-type-options"]) for response in responses} == {
        (200, "nosniff")
    }


def test_the_page_allows_only_get_and_head(client: TestClient) -> None:
    response = client.post("/docs")
    assert (response.headers["allow"], response.headers["content-type"]) == ("GET, HEAD", "application/problem+json")
    assert (response.status_code, response.json()) == (
        405,
        {
            "type": "about:blank",
            "title": "Method Not Allowed",
            "status": 405,
            "detail": "Allowed methods: GET, HEAD.",
            "code": "METHOD_NOT_ALLOWED",
        },
    )


def test_unknown_paths_below_the_page_are_not_found(client: TestClient) -> None:
    assert client.post("/docs-of-mine").status_code == 404
    assert client.get("/docs/").status_code == 404
    assert client.get("/docs/LICENSE").status_code == 404
