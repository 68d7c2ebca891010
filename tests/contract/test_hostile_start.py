"""A start with contracts whose schemas refer to each other in odd ways."""

import re

import pytest
import yaml
from starlette.testclient import TestClient

from api.contract import ContractError
from tests.contract.test_hostile_documents import ENDLESS, Json, chain, ref
from tests.support.engine import Engine

OPERATION = """
tags: [{name: a}]
paths:
  /x:
    post:
      tags: [a]
      operationId: addThing
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}
      responses:
        '200': {description: '', content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}
components: {schemas: %s}
"""


def serve(engine: Engine, schemas: Json) -> TestClient:
    """Serve POST /x, which returns its body."""
    engine.handlers.add_thing = lambda body: body  # type: ignore[attr-defined]
    named = {str(name): schema for name, schema in schemas.items()}
    engine.write(OPERATION % yaml.safe_dump(named, default_flow_style=True, width=10**9))
    return TestClient(engine.start())


@pytest.mark.slow
def test_long_chains_of_schemas_are_served(engine: Engine) -> None:
    client = serve(engine, chain(500, type="string", maxLength=3))
    value: Json = {"p": {"q": {"p": {}}}}
    assert client.post("/x", json=value).json() == value
    assert client.post("/x", json={"p": {"q": {"p": 1}}}).status_code == 400


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_schemas_that_never_end_prevent_the_start(engine: Engine, keyword: str) -> None:
    with pytest.raises(ContractError, match=re.escape(ENDLESS)):
        serve(engine, {"A": {keyword: [ref("A")]}})
