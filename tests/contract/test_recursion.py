"""Schemas that contain themselves: validation of requests, serialization and validation of responses."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from api.contract import nonblocking
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
