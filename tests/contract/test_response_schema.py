"""Every response is checked: statuses, headers of every type, every media type, and the members of composed schemas."""

from typing import Any

import pytest

from api.contract.document.operation import Json
from api.contract.schema.response_schema import ResponseSpec, declared_status
from api.contract.schema.schemas import Schemas
from tests.support.engine import Engine, returning
from tests.support.violations import Violations


def violations(declared: Json, body: bytes = b"", *, has_body: bool = True, **headers: str) -> list[str]:
    """Return the violations of a response."""
    spec = ResponseSpec({"description": "", **declared}, Schemas({}, {}))
    given = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return spec.violations(given, body, has_body=has_body)


@pytest.mark.parametrize(
    ("declared", "status", "key"),
    [
        ({"200", "2XX", "default"}, 200, "200"),
        ({"200", "2XX", "default"}, 201, "2XX"),
        ({"200", "2XX", "default"}, 404, "default"),
        ({"200", "2XX"}, 404, None),
        ({"4XX"}, 404, "4XX"),
    ],
)
def test_a_status_comes_before_its_range_and_the_default(declared: set[str], status: int, key: str | None) -> None:
    assert declared_status(declared, status) == key


NUMBERS = {"type": "array", "items": {"type": "integer", "maximum": 5}}


@pytest.mark.parametrize(
    ("header", "valid", "invalid", "keyword"),
    [
        ({"schema": {"type": "integer"}}, "5", "5.5", "type"),
        ({"schema": {"type": "integer", "format": "int64"}}, str(2**63 - 1), str(2**63), "format"),
        ({"schema": {"type": "number", "maximum": 2}}, "1.5", "2.5", "maximum"),
        ({"schema": {"type": "number"}}, "-1e3", "1_0", "type"),
        ({"schema": {"type": "boolean"}}, "true", "True", "type"),
        ({"schema": NUMBERS}, "1,2", "1,6", "maximum"),
        ({"schema": NUMBERS}, "1, 2", "1,a", "type"),
        ({"schema": {"type": "object", "properties": {"a": NUMBERS["items"]}}}, "a,1", "a,6", "maximum"),
        (
            {"schema": {"type": "object", "properties": {"a": NUMBERS["items"]}}, "explode": True},
            "a=1",
            "a=6",
            "maximum",
        ),
        ({"schema": {"type": "object"}}, "a,1", "a=1", "type"),
        ({"schema": {"type": "object"}}, "", "a", "type"),
        ({"schema": {"type": "object"}, "explode": True}, "a=1,b=2", "a,1", "type"),
        ({"schema": {"type": "integer", "nullable": True}}, "null", "none", "type"),
        ({"content": {"text/plain": {"schema": {"type": "string", "maxLength": 2}}}}, "ab", "abc", "maxLength"),
        ({"schema": {"oneOf": [{"type": "integer"}, {"type": "boolean"}]}}, "5", "x", "oneOf"),
        ({"content": {"application/json": {"schema": NUMBERS}}}, "[1]", "[6]", "maximum"),
        ({"schema": {"enum": ["a"]}}, "a", "b", "enum"),
        ({"schema": {"type": "string", "pattern": "^/api/"}}, "/api/x", "/x", "pattern ^/api/"),
    ],
)
def test_headers_of_every_type_are_checked(header: Json, valid: str, invalid: str, keyword: str) -> None:
    declared = {"headers": {"X-Word": header, "Content-Type": {"schema": {"type": "integer"}}}}
    assert violations(declared, x_word=valid) == []
    (found,) = violations(declared, x_word=invalid)
    assert found.startswith("the header x-word")
    assert found.endswith(f"breaks {keyword}")


THING = {"type": "object", "properties": {"id": {"type": "string"}}}
CLOSED = {**THING, "additionalProperties": False}


@pytest.mark.parametrize(
    ("media_type", "schema", "content_type", "body", "found"),
    [
        ("application/json", CLOSED, "application/json", b'{"password":1}', ["the body breaks additionalProperties"]),
        ("application/json", THING, "application/json", b'{"password":1}', []),
        (
            "application/json",
            {"allOf": [CLOSED]},
            "application/json",
            b'{"a":1}',
            ["the body breaks additionalProperties"],
        ),
        (
            "application/json",
            {"oneOf": [CLOSED, {"type": "null"}]},
            "application/json",
            b'{"a":1}',
            ["the body breaks oneOf"],
        ),
        (
            "application/json",
            {"properties": {"id": {"type": "string", "writeOnly": True}}},
            "application/json",
            b'{"id":"1"}',
            ["the body/id breaks writeOnly"],
        ),
        ("application/json", {}, "application/json", b"NaN", ["the body is not JSON"]),
        ("application/json", {"maxLength": 1}, "application/json", rb'"\ud800"', []),
        ("application/*+json", THING, "application/hal+json", b'{"id":1}', ["the body/id breaks type"]),
        ("application/*+json", THING, "application/json", b"{}", ["the header content-type breaks enum"]),
        ("application/hal+json", THING, "application/hal+json", b'{"id":1}', ["the body/id breaks type"]),
        ("*/*", THING, "application/json", b'{"id":1}', ["the body/id breaks type"]),
        ("application/x-ndjson", THING, "application/x-ndjson", b'{}\n{"id":1}\n', ["the line 1/id breaks type"]),
        (
            "application/x-ndjson",
            {"type": "array", "items": THING},
            "application/x-ndjson",
            b"{}\n{",
            ["the line 1 is not JSON"],
        ),
        (
            "application/x-ndjson",
            {"allOf": [{"type": "array", "items": THING}, {"maxItems": 1}]},
            "application/x-ndjson",
            b'{}\n{"id":1}\n',
            ["the body/1/id breaks type", "the body breaks maxItems"],
        ),
        ("text/plain", {"type": "boolean"}, "text/plain", b"true", []),
        ("text/plain", {"type": "string", "maxLength": 1}, "text/plain; charset=utf-8", "ä".encode(), []),
        ("text/plain", {"type": "string", "maxLength": 1}, "text/plain", b"ab", ["the body breaks maxLength"]),
        ("text/plain", {"type": "integer"}, "text/plain", b"5", []),
        ("text/plain", {"type": "string"}, "text/plain", b"\xff", ["the body is not UTF-8"]),
        ("image/png", {"type": "string", "format": "binary"}, "image/png", b"\xff", []),
        ("image/*", {}, "image/png", b"\xff", []),
        ("image/*", {}, "text/html", b"<p>", ["the header content-type breaks enum"]),
    ],
)
def test_bodies_of_every_media_type_are_checked(
    media_type: str, schema: Json, content_type: str, body: bytes, found: list[str]
) -> None:
    declared = {"content": {media_type: {"schema": schema}}}
    assert violations(declared, body, content_type=content_type) == found


def test_each_media_type_has_its_own_schema() -> None:
    declared = {
        "content": {"application/json": {"schema": THING}, "text/plain": {"schema": {"type": "string", "maxLength": 1}}}
    }
    assert violations(declared, b"{}", content_type="application/json") == []
    assert violations(declared, b"{}", content_type="text/plain") == ["the body breaks maxLength"]
    assert violations(declared, b"{}") == ["the header content-type is missing"]
    assert violations(declared, has_body=False, content_type="a/b") == ["the header content-type breaks enum"]


def test_parameters_distinguish_media_types() -> None:
    one, two = ({"schema": {"type": "string", "maxLength": length}} for length in (1, 2))
    declared = {"content": {"text/plain; v=1": one, "text/plain; v=2": two}}
    assert violations(declared, b"ab", content_type="text/plain;v=1") == ["the body breaks maxLength"]
    assert violations(declared, b"ab", content_type="text/plain;v=2") == []


CONTRACT = """
tags: [{name: a}]
paths:
  /things:
    get:
      tags: [a]
      operationId: listThings
      responses:
        2XX: {description: '', content: {text/plain: {schema: {type: string, minLength: 1, maxLength: 1}}}}
"""


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ("a", []),
        ("ab", ["the body breaks maxLength"]),
        (("ab", 201), ["the body breaks maxLength"]),
        (iter(["a", "b"]), []),
        ((iter(["a"]), {"X-Word": "a"}), ["the header x-word is not declared"]),
    ],
)
def test_streams_are_checked_in_their_headers_only(
    engine: Engine, violations: Violations, result: Any, found: list[str]
) -> None:
    engine.write(CONTRACT)
    engine.check_answers = True
    engine.handlers.list_things = returning(result)  # type: ignore[attr-defined]
    assert engine.request("/things").status_code in {200, 201}
    # The contract of this engine declares no X-Request-ID and no Cache-Control.
    reported = [fact["violation"] for fact in violations.found]
    violations.found.clear()
    assert [violation for violation in reported if "-id " not in violation and "cache" not in violation] == found
