"""Schemas that contain themselves: validation of requests, serialization and validation of responses."""

from collections import Counter
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.contract import nonblocking
from api.contract.document.operation import Json
from api.contract.schema.formats import TypedFormat
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas
from api.contract.schema.serializer import Serializers
from tests.support.engine import Engine

TREE = """
tags: [{name: a}]
paths:
  /trees:
    post:
      tags: [a]
      operationId: addThing
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: '#/components/schemas/Tree'}}}
      responses:
        '200': {description: '', content: {application/json: {schema: {$ref: '#/components/schemas/Tree'}}}}
components:
  schemas:
    Tree:
      type: object
      additionalProperties: false
      required: [name]
      properties:
        name: {type: string, maxLength: 3}
        parts: {type: array, items: {$ref: '#/components/schemas/Tree'}}
"""


def tree(depth: int, **members: Any) -> dict[str, Any]:
    """Return a tree of this depth. The innermost one has the given members."""
    return {"name": "a", "parts": [tree(depth - 1, **members)]} if depth else {"name": "a", **members}


@pytest.fixture
def trees(engine: Engine) -> TestClient:
    """An application that returns the tree of the request with a member that the contract does not declare."""

    @nonblocking
    def add_thing(body: dict[str, Any]) -> dict[str, Any]:
        parts = {"parts": [part | {"secret": 1} for part in body["parts"]]} if "parts" in body else {}
        return body | {"secret": 1} | parts

    engine.handlers.add_thing = add_thing  # type: ignore[attr-defined]
    engine.write(TREE)
    return TestClient(engine.start())


@pytest.mark.parametrize("depth", [0, 1, 5, 12])
def test_recursive_values_are_served_without_undeclared_members(trees: TestClient, depth: int) -> None:
    response = trees.post("/trees", json=tree(depth))
    assert (response.status_code, response.json()) == (200, tree(depth))


@pytest.mark.parametrize("depth", [0, 1, 5, 12])
def test_faults_of_recursive_values_name_their_location(trees: TestClient, depth: int) -> None:
    response = trees.post("/trees", json=tree(depth, name="long", more=1))
    place = "/body" + "/parts/0" * depth
    assert response.status_code == 400
    assert [fault["pointer"] for fault in response.json()["errors"]] == [place, f"{place}/name"]


def operation(name: str) -> Json:
    """Return the schema of an operation whose alternatives differ only in `op`, which follows the deep member."""
    left = {"oneOf": [{"$ref": "#/components/schemas/Expression"}, {"type": "integer"}]}
    properties = {"left": left, "op": {"type": "string", "format": "counted", "enum": [name]}}
    return {"type": "object", "required": ["left", "op"], "additionalProperties": False, "properties": properties}


EXPRESSION = {"oneOf": [{"$ref": "#/components/schemas/Add"}, {"$ref": "#/components/schemas/Multiply"}]}
# A property that two parts of `allOf` describe is read by both.
BASE: Json = {
    "type": "object",
    "properties": {
        "op": {"type": "string", "format": "counted"},
        "note": {"type": "string", "default": ""},
        "left": {"$ref": "#/components/schemas/Base"},
    },
}
DERIVED: Json = {
    "allOf": [
        {"$ref": "#/components/schemas/Base"},
        {"type": "object", "properties": {"left": {"$ref": "#/components/schemas/Derived"}}},
    ],
}
# The members of an object are read again to find the ones that no part describes.
SEALED: Json = {
    "allOf": [{"$ref": "#/components/schemas/Part"}],
    "unevaluatedProperties": False,
}
PART: Json = {
    "type": "object",
    "properties": {
        "op": {"type": "string", "format": "counted"},
        "left": {"anyOf": [{"type": "integer"}, {"$ref": "#/components/schemas/Sealed"}]},
    },
}


@pytest.mark.parametrize("innermost", [1, "wrong"])
@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize("name", ["Expression", "Derived", "Sealed"])
def test_alternatives_read_each_part_of_a_recursive_value_once(name: str, version: str, innermost: object) -> None:
    counts: Counter[object] = Counter()

    def counted(text: object) -> bool:
        counts["read"] += 1
        return True

    parts = {"Expression": EXPRESSION, "Add": operation("add"), "Multiply": operation("multiply")}
    components = {**parts, "Base": BASE, "Derived": DERIVED, "Sealed": SEALED, "Part": PART}
    document = {"openapi": version, "components": {"schemas": components}}
    schemas = Schemas(document, {"counted": TypedFormat(counted, "string")})
    schema = {"$ref": f"#/components/schemas/{name}"}
    validator, serialize = schemas.request_validator(schema), Serializers(schemas).make(schema)
    value: Any = innermost if name != "Derived" else {"op": "add" if innermost == 1 else 1}
    depth = 30
    for _ in range(depth):
        value = {"left": value, "op": "add"}
    # Twice the work at each level would be a billion reads.
    assert bool(validator.errors(value)) is (innermost == "wrong")
    assert bool(faults_of(validator.errors(value), "/body")) is (innermost == "wrong")
    assert validator.exact.is_valid(value) is (innermost == 1)
    if innermost == 1:
        validator.filled(value)
        assert serialize(value) == value
    assert counts["read"] <= 40 * depth
