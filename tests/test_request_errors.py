"""Errors of requests: invalid input, media types, body sizes, paths and methods."""

import ast
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from api.config import Config
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas
from tests.support.databases import on_sqlite
from tests.support.person import PASSWORD
from tests.test_errors import DOCUMENT, SCHEMAS, SIGN_UP, problem

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
    ({"type": "string", "pattern": "^a", "x-format-code": "TOO_GUESSABLE"}, "x", "TOO_GUESSABLE"),
    ({"required": ["x"]}, {}, "REQUIRED"),
    ({"type": "string"}, 1, "WRONG_TYPE"),
    ({"uniqueItems": True}, [1, 1], "DUPLICATE_ITEM"),
]


@pytest.mark.parametrize(("schema", "value", "code"), FAULTY)
def test_each_schema_keyword_has_a_fault_code(schema: dict[str, Any], value: object, code: str) -> None:
    validator = Schemas({}, {"username": lambda _: False}).request_validator(schema)
    found = faults_of(validator.errors(value), "/body")
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
    errors = [Schemas({}, {}).request_validator({keyword: limit}).errors(value) for limit in (1, 2)]
    assert [faults_of(found, "/body")[0].detail for found in errors] == [one, two]


def test_fault_codes_and_the_contract_correspond() -> None:
    assert set(_fault_codes()) == set(SCHEMAS["FaultCode"]["enum"])
    assert SCHEMAS["FaultCode"]["enum"] == sorted(SCHEMAS["FaultCode"]["enum"])
    assert {code for _, _, code in FAULTY} | {"MALFORMED_JSON", "REPEATED"} == set(SCHEMAS["FaultCode"]["enum"])


def _fault_codes() -> Iterator[str]:
    """Yield the codes of all faults, and of the rules that become faults, in the source and in the contract."""
    place = {"Fault": 1, "Rule": 0}
    for file in Path(str(files("api"))).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in place:
                code = node.args[place[node.func.id]]
                if isinstance(code, ast.Constant):
                    yield str(code.value)
    yield from (schema["x-format-code"] for schema in SCHEMAS.values() if "x-format-code" in schema)


ALICE = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("sent", "faults"),
    [
        ({}, ["/body REQUIRED"]),
        ({"content": b"", "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b"{", "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b'{"a": "\xff"}', "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b'{"a": 1e999}', "headers": JSON}, ["/body/a TOO_LARGE"]),
        ({"content": b'{"a": %s}' % (b"9" * 5000), "headers": JSON}, ["/body/a TOO_LARGE"]),
        ({"content": b"[" * 20_000, "headers": JSON}, ["/body MALFORMED_JSON"]),
        ({"content": b'{"a": 1, "a": 1}', "headers": JSON}, ["/body REPEATED"]),
        ({"json": []}, ["/body WRONG_TYPE"]),
        ({"content": b"null", "headers": JSON}, ["/body WRONG_TYPE"]),
        ({"json": {}}, ["/body/email REQUIRED", "/body/password REQUIRED", "/body/username REQUIRED"]),
        ({"json": ALICE | {"a/b~c": 1}}, ["/body UNKNOWN"]),
        ({"json": ALICE, "params": {"a": "1"}}, ["/query UNKNOWN"]),
        ({"json": ALICE | {"email": 1, "role": 1}}, ["/body UNKNOWN", "/body/email WRONG_TYPE"]),
        ({"json": ALICE | {"password": "password1"}}, ["/body/password TOO_GUESSABLE"]),
        ({"json": ALICE | {"password": "a" * 8}}, ["/body/password TOO_GUESSABLE"]),
    ],
)
@on_sqlite
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
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
@on_sqlite
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
@on_sqlite
def test_a_path_outside_the_contract_is_404(client: TestClient, method: str) -> None:
    paths = ["/", "//ping", "/ping/", "/PING", "/ping;a", "/ping%2f", "/ping%00", "/%ff", "/.%2e/ping", "/api"]
    paths += ["/api/v1/auth", "/api/v1/me/", "/api/v1//me", "/api%2fv1/me", "/docs/x", "/swagger.json", "/protected "]
    for path in paths:
        url = httpx.URL(scheme="http", host="127.0.0.1", port=8000, raw_path=path.encode())
        response = client.request(method, url)
        assert (path, response.status_code, problem(response)["code"]) == (path, 404, "NOT_FOUND")


@pytest.mark.slow
@on_sqlite
def test_an_undeclared_method_is_405_with_the_allowed_methods(client: TestClient) -> None:
    methods = {"GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND"}
    for path, item in DOCUMENT["paths"].items():
        declared = {method.upper() for method in item if method != "parameters"}
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
