"""The outermost layer holds every answer against the contract; it reports, and changes nothing."""

from collections.abc import Callable

import flask
import pytest
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from api import contract
from api.app import create_app
from api.config import Config
from api.config.paths import resource_dir
from api.contract.dispatch import view
from api.contract.document.model import Json
from api.contract.middleware.response_validation import ResponseValidationMiddleware
from api.contract.middleware.routing import Router
from api.contract.schema import response_schema
from api.contract.schema.formats import STANDARD, format_checker
from api.handlers import system
from tests.support.violations import Violations

RUNNING = {"status": "running"}
FIXED = {"Cache-Control": "no-store", "X-Request-ID": "019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d"}


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    return sqlite_config


@pytest.mark.parametrize(
    ("ping", "status", "violation"),
    [
        (lambda: {"status": "broken"}, 200, "the body/status breaks enum"),
        (lambda: {}, 200, "the body breaks required"),
        (lambda: flask.abort(418), 418, "ping does not declare the status 418"),
        (lambda: (RUNNING, {"X-Powered-By": "x"}), 200, "the header x-powered-by is not declared"),
        (lambda: (RUNNING, {"Cache-Control": "public"}), 200, "the header cache-control breaks enum"),
    ],
)
def test_what_breaks_the_contract_is_reported_and_sent_all_the_same(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    violations: Violations,
    ping: Callable[[], object],
    status: int,
    violation: str,
) -> None:
    # Answers are cut to the contract; only without the knife can they break it.
    monkeypatch.setattr(view, "make_serializer", lambda _: lambda value: value)
    monkeypatch.setattr(system, "ping", ping)
    with TestClient(create_app(config)) as client:
        assert client.get("/ping").status_code == status
    found = [fact["violation"] for fact in violations.found]
    violations.found.clear()
    assert violation in found


@pytest.mark.parametrize(
    ("path", "answer", "violation"),
    [
        ("/ping", Response(b"{", 200, media_type="application/json"), "the body is not JSON"),
        ("/ping", Response(b"\xff", 200, media_type="application/json"), "the body is not JSON"),
        ("/ping", Response(b"[" * 9999, 200, media_type="application/json"), "the body is not JSON"),
        ("/ping", Response(b"{}", 200, media_type="text/plain"), "the header content-type breaks enum"),
        ("/nothing", Response(b"{}", 418), "x-elsewhere does not declare the status 418"),
        ("/nothing", Response(b"{}", 404, {"X-Odd": "1"}), "the header x-odd is not declared"),
        ("/ready", Response(b"{}", 503, {"Retry-After": "soon"}), "the header retry-after breaks type"),
        ("/ready", Response(b"{}", 503, {"X-Request-ID": "1"}), "the header x-request-id breaks format"),
        ("/ready", Response(b"{}", 503, {"Retry-After": "9" * 5000}), "the header retry-after breaks type"),
    ],
)
def test_what_cannot_even_be_read_is_reported_too(
    violations: Violations, path: str, answer: Response, violation: str
) -> None:
    document = contract.load(resource_dir("openapi"))
    client = TestClient(ResponseValidationMiddleware(answer, document, Router(document), STANDARD))
    assert client.get(path).content == answer.body
    found = [fact["violation"] for fact in violations.found]
    violations.found.clear()
    assert violation in found


def test_a_body_is_wrong_after_any_number_of_right_ones(violations: Violations) -> None:
    bodies = [b'{"status":"running"}', b'{"status":"running"}', b'{"status":"broken"}', b'{"status":"running"}']
    document = contract.load(resource_dir("openapi"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = bodies[len(found)]
        await Response(body, 200, FIXED, media_type="application/json")(scope, receive, send)

    client = TestClient(ResponseValidationMiddleware(app, document, Router(document), STANDARD))
    found: list[list[str]] = []
    for _ in bodies:
        client.get("/ping")
        found.append([fact["violation"] for fact in violations.found])
        violations.found.clear()
    assert found == [[], [], ["the body/status breaks enum"], []]


@pytest.mark.parametrize(
    ("schema", "violations"),
    [
        ({"type": "number", "maximum": 2**64}, ["the body breaks maximum"]),
        ({"type": "number", "format": "int64"}, ["the body breaks format"]),
        ({"not": {"type": "integer"}}, ["the body breaks not"]),
        ({"type": "integer"}, []),
    ],
)
def test_an_integer_of_any_size_is_one(schema: Json, violations: list[str]) -> None:
    declared = {"content": {"application/json": {"schema": schema}}}
    response = response_schema.ResponseSpec(declared, format_checker(STANDARD))
    headers = [(b"content-type", b"application/json")]
    assert response.violations(headers, str(2**64 + 1).encode(), has_body=True) == violations


def test_a_header_that_comes_twice_is_right_twice(violations: Violations) -> None:
    document = contract.load(resource_dir("openapi"))
    answer = Response(b'{"status":"running"}', 200, FIXED, media_type="application/json")
    answer.headers.append("Cache-Control", "public")
    TestClient(ResponseValidationMiddleware(answer, document, Router(document), STANDARD)).get("/ping")
    found = [fact["violation"] for fact in violations.found]
    violations.found.clear()
    assert found == ["the header cache-control breaks enum"]


def test_the_documentation_page_is_no_operation_and_is_not_held_against_the_contract(client: TestClient) -> None:
    assert client.get("/docs").status_code == 200
    assert client.get("/docs/x").status_code == 404
