"""The documentation page: in a browser, and file by file."""

import json
import re
import subprocess
from urllib.parse import urljoin, urlsplit

import pytest
from starlette.testclient import TestClient

from api.config import Config
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS

NODE = BIN / "node"
SCRIPT = CHECKOUT / "tests/node/docs.mjs"


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    return sqlite_config


@pytest.mark.slow
def test_a_newcomer_signs_up_logs_in_and_calls_what_is_protected_on_the_page(server: str) -> None:
    visit = subprocess.run(
        [NODE, SCRIPT, server, "alice"], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert visit.returncode == 0, visit.stdout + visit.stderr
    seen = json.loads(visit.stdout)
    user, grant = seen["signUp"]["body"], seen["logIn"]["body"]
    assert (user["username"], user["email"]) == ("alice", "alice@example.com")
    (session,) = seen["sessions"]["body"]["items"]
    assert seen == {
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


def test_the_page_runs_no_code_but_its_own_and_stands_in_no_frame(client: TestClient) -> None:
    page = client.get("/docs")
    policy = dict(directive.split(" ", 1) for directive in page.headers["content-security-policy"].split("; "))
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in str(policy)


def test_every_file_of_the_page_is_served_with_its_media_type(client: TestClient) -> None:
    page = client.get("/docs")
    answers = [client.get(urljoin(str(page.url), name)) for name in re.findall(r'(?:href|src)="([^"]+)"', page.text)]
    assert {urlsplit(str(answer.url)).path: answer.headers["content-type"] for answer in answers} == {
        "/docs/favicon-32x32.png": "image/png",
        "/docs/index.css": "text/css; charset=utf-8",
        "/docs/start.js": "text/javascript; charset=utf-8",
        "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "/docs/swagger-ui.css": "text/css; charset=utf-8",
    }
    assert {(answer.status_code, answer.headers["x-content-type-options"]) for answer in answers} == {(200, "nosniff")}


def test_the_page_can_only_be_read(client: TestClient) -> None:
    answer = client.post("/docs")
    assert (answer.headers["allow"], answer.headers["content-type"]) == ("GET, HEAD", "application/problem+json")
    assert (answer.status_code, answer.json()) == (
        405,
        {
            "type": "about:blank",
            "title": "Method Not Allowed",
            "status": 405,
            "detail": "Allowed methods: GET, HEAD.",
            "code": "METHOD_NOT_ALLOWED",
        },
    )


def test_only_the_files_of_the_page_are_under_its_path(client: TestClient) -> None:
    assert client.post("/docs-of-mine").status_code == 404
    assert client.get("/docs/").status_code == 404
    assert client.get("/docs/LICENSE").status_code == 404
