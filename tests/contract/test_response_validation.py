"""The outermost middleware validates every response against the contract. It reports violations and changes nothing."""

import itertools
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
from api.contract.document.operation import Json
from api.contract.middleware.response_validation import ResponseValidationMiddleware
from api.contract.middleware.routing import Router
from api.contract.schema import response_schema
from api.contract.schema.last_valid import skip_last_valid
from api.contract.schema.schemas import Schemas
from api.contract.schema.serializer import Serializers
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
def test_violations_are_reported_and_the_response_is_sent(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    violations: Violations,
    ping: Callable[[], object],
    status: int,
    violation: str,
) -> None:
    # The serializer drops undeclared properties. Without it, a handler can violate the contract.
    monkeypatch.setattr(Serializers, "make", lambda *_: lambda value: value)
    monkeypatch.setattr(system, "ping", ping)
    with TestClient(create_app(config)) as client:
        assert client.get("/ping").status_code == status
    found = [fact["violation"] for fact in violations.found]
    violations.found.clear()
    assert violation in found


@pytest.mark.parametrize(
    ("path", "response", "violation"),
    [
        ("/ping", Response(b"{", 200, media_type="application/json"), "the body is not JSON"),
        ("/ping", Response(b"\xff", 200, media_type="application/json"), "the body is not JSON"),
        ("/ping", Response(b"[" * 9999, 200, media_type="application/json"), "the body is not JSON"),
        ("/ping", Response(b"{}", 200, media_type="text/plain"), "the header content-type breaks enum"),
        ("/nothing", Response(b"{}", 418), "x-elsewhere does not declare the status 418"),
        ("/nothing", Response(b"{}", 404, {"X-Odd": "1"}), "the header x-odd is not declared"),
        ("/ready", Response(b"{}", 503, {"Retry-After": "soon"}), "the header retry-after breaks type"),
        ("/ready", Response(b"{}", 503, {"X-Request-ID": "x" * 36}), "the header x-request-id breaks format"),
        ("/ready", Response(b"{}", 503, {"Retry-After": "9" * 5000}), "the header retry-after breaks type"),
    ],
)
def test_unreadable_responses_are_reported(
    violations: Violations, path: str, response: Response, violation: str
) -> None:
    document = contract.load(resource_dir("openapi"))
    client = TestClient(ResponseValidationMiddleware(response, Router(document), Schemas(document.document, {})))
    assert client.get(path).content == response.body
    found = [fact["violation"] for fact in violations.found]
    violations.found.clear()
    assert violation in found


def test_an_invalid_body_is_reported_after_valid_ones(violations: Violations) -> None:
    bodies = [b'{"status":"running"}', b'{"status":"running"}', b'{"status":"broken"}', b'{"status":"running"}']
    document = contract.load(resource_dir("openapi"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = bodies[len(found)]
        await Response(body, 200, FIXED, media_type="application/json")(scope, receive, send)

    client = TestClient(ResponseValidationMiddleware(app, Router(document), Schemas(document.document, {})))
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
def test_integers_of_any_size_are_validated(schema: Json, violations: list[str]) -> None:
    declared = {"content": {"application/json": {"schema": schema}}}
    spec = response_schema.ResponseSpec(declared, Schemas({}, {}))
    headers = [(b"content-type", b"application/json")]
    assert spec.violations(headers, str(2**64 + 1).encode(), has_body=True) == violations


def test_skipping_the_last_valid_value_changes_no_verdict() -> None:
    def check(value: bytes) -> list[str]:
        return [] if value in {b"1", b"2"} else [f"{value!r} is invalid"]

    skipping = skip_last_valid(check)
    for values in itertools.product([b"1", b"2", b"3", b"4"], repeat=4):
        assert [skipping(value) for value in values] == [check(value) for value in values]


def test_each_value_of_a_repeated_header_is_validated(violations: Violations) -> None:
    document = contract.load(resource_dir("openapi"))
    response = Response(b'{"status":"running"}', 200, FIXED, media_type="application/json")
    response.headers.append("Cache-Control", "public")
    TestClient(ResponseValidationMiddleware(response, Router(document), Schemas(document.document, {}))).get("/ping")
    (found,) = violations.found
    violations.found.clear()
    assert found == {
        "operation": "ping",
        "method": "GET",
        "path": "/ping",
        "status": 200,
        "violation": "the header cache-control breaks enum",
    }


def test_the_documentation_page_is_not_validated(client: TestClient) -> None:
    assert client.get("/docs").status_code == 200
    assert client.get("/docs/x").status_code == 404
