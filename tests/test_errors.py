"""Errors: all have the shape of RFC 9457, and the contract lists every code."""

import ast
import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import connexion.exceptions
import flask
import httpx
import pytest
import starlette.exceptions
import werkzeug.exceptions
from starlette.testclient import TestClient
from werkzeug.datastructures import WWWAuthenticate

from api import contract, errors
from api.config import Config
from api.config.paths import resource_dir
from api.contract.schema.formats import STANDARD
from api.contract.schema.request_schema import SchemaValidator
from api.errors import ApiError, Fault
from api.services import readiness
from tests.support.person import PASSWORD, Person
from tests.support.violations import Violations

DOCUMENT = contract.load(resource_dir("openapi")).document
SCHEMAS = DOCUMENT["components"]["schemas"]
SIGN_UP = "/api/v1/auth/signup"


def catalogue() -> list[type[ApiError]]:
    """Return the error classes that define a code."""

    def below(error: type[ApiError]) -> Iterator[type[ApiError]]:
        for child in error.__subclasses__():
            yield child
            yield from below(child)

    return [error for error in below(ApiError) if "code" in vars(error)]


def phrase_of(status: int) -> str:
    """Return the reason phrase of RFC 9110, which older versions of Python lack for some statuses."""
    newer = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
    return newer.get(status, HTTPStatus(status).phrase)


def problem(response: httpx.Response) -> dict[str, Any]:
    """Return the members of a problem. Assert that it has the common shape and headers."""
    body: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]
    assert list(body)[:5] == ["type", "title", "status", "detail", "code"]
    assert body["type"] == "about:blank"
    assert (body["status"], body["title"]) == (response.status_code, phrase_of(response.status_code))
    return body


def test_error_codes_and_the_contract_correspond() -> None:
    codes = [error.code for error in catalogue()]
    assert sorted(codes) == SCHEMAS["ProblemCode"]["enum"]


def test_a_response_lists_at_most_100_faults() -> None:
    faults = [Fault(f"/body/{number:03}", "WRONG_TYPE", "Must be a string.") for number in range(1000)]
    body = errors.InvalidInput(faults).problem()
    assert body["errors"] == [fault._asdict() for fault in faults[:100]]
    assert body["detail"] == "The request breaks 1000 rules of the contract."
    assert SCHEMAS["Problem"]["properties"]["errors"]["maxItems"] == 100


def test_all_errors_are_defined_in_the_catalogue() -> None:
    assert {error.__module__ for error in catalogue()} == {"api.errors"}
    assert all(error.__name__ in (errors.__doc__ or "") for error in catalogue())


def test_every_error_code_is_derived_from_its_class_name() -> None:
    spelled = {error.__name__: "".join(f"_{c}" if c.isupper() else c for c in error.__name__) for error in catalogue()}
    assert {error.__name__: error.code for error in catalogue()} == {
        name: words.lstrip("_").upper() for name, words in spelled.items()
    }


FAULTY: list[tuple[dict[str, Any], Any, str]] = [
    ({"additionalProperties": False}, {"x": 1}, "UNKNOWN"),
    ({"enum": [1]}, 2, "NOT_ALLOWED"),
    ({"not": {}}, 1, "NOT_ALLOWED"),
    ({"type": "string", "format": "username"}, "x", "WRONG_FORMAT"),
    *(({"type": "integer", "format": f"int{bits}"}, 2 ** (bits - 1), "WRONG_FORMAT") for bits in (32, 64)),
    *(({"type": "integer", "format": f"int{bits}"}, -(2 ** (bits - 1)) - 1, "WRONG_FORMAT") for bits in (32, 64)),
    ({"type": "string", "format": "uuid"}, "019b2c9e6d5c7c3a9d4e0f6f3a1b2c3d", "WRONG_FORMAT"),
    ({"type": "string", "format": "uuid"}, "019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d\n", "WRONG_FORMAT"),
    *(
        ({"type": "string", "format": "date-time"}, text, "WRONG_FORMAT")
        for text in (
            "2026-02-30T12:00:00Z",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00+00:99",
            "2026-01-31T12:00:00Z\n",
            "x",
        )
    ),
    ({"type": "string", "format": "username", "x-format-code": "TOO_GUESSABLE"}, "x", "TOO_GUESSABLE"),
    ({"maxItems": 0}, [1], "TOO_MANY"),
    ({"maxLength": 0}, "x", "TOO_LONG"),
    ({"maximum": 0}, 1, "TOO_LARGE"),
    ({"minItems": 1}, [], "TOO_FEW"),
    ({"minLength": 1}, "", "TOO_SHORT"),
    ({"minimum": 1}, 0, "TOO_SMALL"),
    ({"pattern": "^a"}, "x", "WRONG_FORMAT"),
    ({"required": ["x"]}, {}, "REQUIRED"),
    ({"type": "string"}, 1, "WRONG_TYPE"),
    ({"uniqueItems": True}, [1, 1], "DUPLICATE_ITEM"),
]


@pytest.mark.parametrize(("schema", "value", "code"), FAULTY)
def test_each_schema_keyword_has_a_fault_code(schema: dict[str, Any], value: object, code: str) -> None:
    check = SchemaValidator(schema, {**STANDARD, "username": lambda _: False})
    found = list(check.faults(value, "/body"))
    assert [fault.code for fault in found] == [code]
    assert found[0].pointer == ("/body/x" if code == "REQUIRED" else "/body")


@pytest.mark.parametrize(
    ("keyword", "value", "one", "two"),
    [
        ("minLength", "", "Must be at least 1 character.", "Must be at least 2 characters."),
        ("minItems", [], "Must have at least 1 item.", "Must have at least 2 items."),
        ("maxLength", "abc", "Must be at most 1 character.", "Must be at most 2 characters."),
        ("maxItems", [1, 2, 3], "Must have at most 1 item.", "Must have at most 2 items."),
    ],
)
def test_fault_details_use_singular_and_plural(keyword: str, value: object, one: str, two: str) -> None:
    found = [next(SchemaValidator({keyword: limit}, {}).faults(value, "/body")).detail for limit in (1, 2)]
    assert found == [one, two]


def test_fault_codes_and_the_contract_correspond() -> None:
    assert set(_fault_codes()) == set(SCHEMAS["FaultCode"]["enum"])
    assert SCHEMAS["FaultCode"]["enum"] == sorted(SCHEMAS["FaultCode"]["enum"])
    assert {code for _, _, code in FAULTY} | {"MALFORMED_JSON", "REPEATED"} == set(SCHEMAS["FaultCode"]["enum"])


def _fault_codes() -> Iterator[str]:
    """Yield the codes of all faults, and of the rules that become faults, in the source."""
    place = {"Fault": 1, "Rule": 0}
    for file in Path(str(files("api"))).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in place:
                code = node.args[place[node.func.id]]
                if isinstance(code, ast.Constant):
                    yield str(code.value)


ALICE = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("sent", "faults"),
    [
        ({}, ["/body REQUIRED"]),
        ({"content": b"", "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b"{", "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b'{"a": "\xff"}', "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b'{"a": 1e999}', "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b'{"a": %s}' % (b"9" * 5000), "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b"[" * 20_000, "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b'{"a": 1, "a": 1}', "headers": JSON}, ["/body REPEATED"]),
        ({"json": []}, ["/body WRONG_TYPE"]),
        ({"content": b"null", "headers": JSON}, ["/body WRONG_TYPE"]),
        ({"json": {}}, ["/body/email REQUIRED", "/body/password REQUIRED", "/body/username REQUIRED"]),
        ({"json": ALICE | {"a/b~c": 1}}, ["/body UNKNOWN"]),
        ({"json": ALICE, "params": {"a": "1"}}, ["/query UNKNOWN"]),
        ({"json": ALICE | {"email": 1, "role": 1}}, ["/body UNKNOWN", "/body/email WRONG_TYPE"]),
        ({"json": ALICE | {"password": "alice's own"}}, ["/body/password TOO_GUESSABLE"]),
    ],
)
def test_a_bad_request_lists_faults_with_pointers(client: TestClient, sent: dict[str, Any], faults: list[str]) -> None:
    response = client.post(SIGN_UP, **sent)
    body = problem(response)
    assert (response.status_code, body["code"]) == (400, "INVALID_INPUT")
    assert sorted(f"{fault['pointer']} {fault['code']}" for fault in body["errors"]) == faults
    assert all(fault.keys() == {"pointer", "code", "detail"} and fault["detail"] for fault in body["errors"])
    rules = "1 rule" if len(faults) == 1 else f"{len(faults)} rules"
    assert body["detail"] == f"The request breaks {rules} of the contract."


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/problem+json"},
        {"content-type": "application/json; charset=utf-7"},
        {"content-type": "application/json; charset=cp037"},
        {"content-type": "application/json; profile=x"},
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_an_unsupported_media_type_is_415(client: TestClient, headers: dict[str, str]) -> None:
    response = client.post(SIGN_UP, content=json.dumps(ALICE), headers=headers)
    assert (response.status_code, problem(response)["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413(client: TestClient, config: Config, chunked: bool) -> None:
    body = b" " * (config.body_bytes + 1)
    content = iter([body]) if chunked else body
    response = client.post(SIGN_UP, content=content, headers=JSON)
    assert (response.status_code, response.headers["connection"]) == (413, "close")
    assert problem(response)["detail"] == "The body is larger than 65536 bytes."
    whole = json.dumps(ALICE).encode().ljust(config.body_bytes)
    assert client.post(SIGN_UP, content=whole, headers=JSON).status_code == 201


@pytest.mark.parametrize("method", ["GET", "POST", "PURGE"])
def test_a_path_outside_the_contract_is_404(client: TestClient, method: str) -> None:
    paths = ["/", "//ping", "/ping/", "/PING", "/ping;a", "/ping%2f", "/ping%00", "/%ff", "/.%2e/ping", "/api"]
    paths += ["/api/v1/auth", "/api/v1/me/", "/api/v1//me", "/api%2fv1/me", "/docs/x", "/swagger.json", "/protected "]
    for path in paths:
        url = httpx.URL(scheme="http", host="127.0.0.1", port=8000, raw_path=path.encode())
        response = client.request(method, url)
        assert (path, response.status_code, problem(response)["code"]) == (path, 404, "NOT_FOUND")


def test_an_undeclared_method_is_405_with_the_allowed_methods(client: TestClient) -> None:
    methods = {"GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND"}
    for path, item in DOCUMENT["paths"].items():
        declared = {method.upper() for method in item}
        allowed = declared | ({"HEAD"} if "GET" in declared else set())
        for method in methods - declared:
            response = client.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (405, ", ".join(sorted(allowed)))
            assert problem(response) == {
                "type": "about:blank",
                "title": "Method Not Allowed",
                "status": 405,
                "detail": f"Allowed methods: {response.headers['allow']}.",
                "code": "METHOD_NOT_ALLOWED",
            }


Raise = Callable[[], object]


@pytest.fixture
def failing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, violations: Violations
) -> Iterator[Callable[[Raise], httpx.Response]]:
    """A function that returns the response of an operation whose service raises an undeclared error."""

    def ask(raise_: Raise) -> httpx.Response:
        monkeypatch.setattr(readiness, "check", lambda *_: raise_())
        response: httpx.Response = client.get("/ready")
        return response

    yield ask
    violations.found.clear()


def raising(error: Exception) -> Raise:
    def raise_error() -> NoReturn:
        raise error

    return raise_error


@pytest.mark.parametrize(
    ("raise_", "status", "headers"),
    [
        (lambda: flask.abort(400), 400, {}),
        (
            lambda: flask.abort(401, www_authenticate=WWWAuthenticate("basic", {"realm": "x"})),
            401,
            {"www-authenticate": "Basic realm=x"},
        ),
        (lambda: flask.abort(403), 403, {}),
        (lambda: flask.abort(404), 404, {}),
        (lambda: flask.abort(405, valid_methods=["GET", "PUT"]), 405, {"allow": "GET, PUT"}),
        (lambda: flask.abort(409, "secret"), 409, {}),
        (lambda: flask.abort(416, length=7), 416, {"content-range": "bytes */7"}),
        (lambda: flask.abort(418), 418, {}),
        (lambda: flask.abort(429, retry_after=7), 429, {"retry-after": "7"}),
        (lambda: flask.abort(503, retry_after=7), 503, {"retry-after": "7"}),
        (raising(werkzeug.exceptions.BadRequestKeyError("secret")), 400, {}),
        (raising(werkzeug.exceptions.RequestEntityTooLarge("secret")), 413, {}),
        (raising(starlette.exceptions.HTTPException(403, "secret", {"X-Why": "x"})), 403, {"x-why": "x"}),
        (raising(starlette.exceptions.HTTPException(429, headers={"Retry-After": "7"})), 429, {"retry-after": "7"}),
        (raising(connexion.exceptions.BadRequestProblem("secret")), 400, {}),
        (raising(connexion.exceptions.ExtraParameterProblem(param_type="secret", extra_params=["secret"])), 400, {}),
        (raising(connexion.exceptions.Unauthorized("secret")), 401, {}),
        (raising(connexion.exceptions.Forbidden("secret")), 403, {}),
        (raising(connexion.exceptions.UnsupportedMediaTypeProblem("secret")), 415, {}),
        (raising(connexion.exceptions.ProblemException(status=409, detail="secret", ext={"secret": 1})), 409, {}),
        (raising(connexion.exceptions.ProblemException(status=503, headers={"Retry-After": "7"})), 503, {}),
    ],
)
def test_library_errors_become_problems_with_the_same_status(
    failing: Callable[[Raise], httpx.Response], raise_: Raise, status: int, headers: dict[str, str]
) -> None:
    response = failing(raise_)
    phrase = phrase_of(status)
    assert problem(response) == {
        "type": "about:blank",
        "title": phrase,
        "status": status,
        "detail": f"{phrase}.",
        "code": phrase.upper().replace("'", "").replace(" ", "_"),
    }
    assert headers.items() <= dict(response.headers).items()
    assert "secret" not in str(response.headers) + response.text


class Odd(werkzeug.exceptions.HTTPException):
    code = 499
    description = "secret"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        KeyError("secret"),
        NotImplementedError("secret"),
        RecursionError("secret"),
        ExceptionGroup("secret", [ValueError("secret")]),
        connexion.exceptions.ResolverError("secret"),
        werkzeug.exceptions.InternalServerError("secret"),
        connexion.exceptions.NonConformingResponseBody("secret"),
        Odd(),
        werkzeug.exceptions.HTTPException("secret"),
        starlette.exceptions.HTTPException(499, "secret"),
        starlette.exceptions.HTTPException(299, "secret"),
    ],
)
def test_unexpected_exceptions_become_500_without_details(
    failing: Callable[[Raise], httpx.Response], error: Exception
) -> None:
    response = failing(raising(error))
    assert problem(response) == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "An internal error occurred. The server's log has the cause under this response's X-Request-ID.",
        "code": "INTERNAL_ERROR",
    }
    assert "secret" not in str(response.headers) + response.text


OWN_ERRORS: dict[Raise, tuple[int, dict[str, str]]] = {
    raising(errors.BodyTooLarge(7)): (413, {"connection": "close"}),
    raising(errors.RequestTooSlow()): (408, {"connection": "close"}),
    raising(errors.DatabaseUnavailable()): (503, {"retry-after": "5"}),
    raising(errors.EmailTaken()): (409, {}),
    raising(errors.HeadersTooLarge(7)): (431, {"connection": "close"}),
    raising(errors.InsufficientScope(["a", "b"])): (
        403,
        {"www-authenticate": 'Bearer error="insufficient_scope", scope="a b"'},
    ),
    raising(errors.InternalError()): (500, {}),
    raising(errors.InvalidCredentials()): (401, {"www-authenticate": "Bearer"}),
    raising(errors.InvalidInput([Fault("/body", "REQUIRED", "A body is required.")])): (400, {}),
    raising(errors.InvalidRefreshToken()): (401, {"www-authenticate": "Bearer"}),
    raising(errors.InvalidToken()): (401, {"www-authenticate": 'Bearer error="invalid_token"'}),
    raising(errors.MalformedRequest()): (400, {}),
    raising(errors.MethodNotAllowed(["PUT", "GET"])): (405, {"allow": "GET, PUT"}),
    raising(errors.MigrationsBehind()): (503, {"retry-after": "5"}),
    raising(errors.MissingToken()): (401, {"www-authenticate": "Bearer"}),
    raising(errors.NotFound()): (404, {}),
    raising(errors.RefreshTokenReused()): (401, {"www-authenticate": "Bearer"}),
    raising(errors.ServiceStopping()): (503, {"retry-after": "5"}),
    raising(errors.TooBusy(7)): (503, {"retry-after": "7"}),
    raising(errors.UnsupportedMediaType()): (415, {}),
    raising(errors.UsernameTaken()): (409, {}),
    raising(errors.WrongPassword()): (403, {}),
}


def test_each_error_class_has_its_status_headers_and_detail(
    failing: Callable[[Raise], httpx.Response],
) -> None:
    seen = set()
    for raise_, (status, headers) in OWN_ERRORS.items():
        response = failing(raise_)
        body = problem(response)
        assert response.status_code == status
        assert headers.items() <= dict(response.headers).items()
        assert body["detail"].endswith(".")
        assert body.keys() - {"errors"} == {"type", "title", "status", "detail", "code"}
        seen.add(body["code"])
    assert seen == {error.code for error in catalogue()}


def test_an_error_in_a_handler_rolls_the_transaction_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, violations: Violations
) -> None:
    monkeypatch.setattr("api.storage.database.Db.after_commit", lambda *_, **__: flask.abort(429, retry_after=7))
    alice = Person(client, "alice")
    assert alice.sign_up().status_code == 429
    violations.found.clear()
    monkeypatch.undo()
    assert alice.sign_up().status_code == 201
