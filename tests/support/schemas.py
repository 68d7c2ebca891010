"""Schemas of OpenAPI 3.0 and 3.1 without a contract around them, and an operation whose body has one."""

from typing import Any

from api.contract.schema.schemas import Schemas
from tests.support.engine import Engine

OLD, NEW = "3.0.3", "3.1.0"

BODY = """
tags: [{{name: a}}]
paths:
  /things:
    post:
      tags: [a]
      operationId: addThing
      requestBody: {{required: true, content: {{application/json: {{schema: {schema}}}}}}}
      responses: {{'200': {{description: '', content: {{application/json: {{schema: {{}}}}}}}}}}
"""


def schemas(version: str, components: Any = None, formats: Any = None) -> Schemas:
    """Return the schemas of a document with these components."""
    return Schemas({"openapi": version, "components": {"schemas": components or {}}}, formats or {})


def post(engine: Engine, schema: str, body: Any) -> Any:
    """Return the body that the handler gets, or the faults of the request."""
    received = []

    def add_thing(body: Any) -> object:
        received.append(body)
        return {}

    engine.handlers.add_thing = add_thing  # type: ignore[attr-defined]
    engine.write(BODY.format(schema=schema))
    response = engine.request("/things", "POST", json=body)
    return received[0] if response.status_code == 200 else response.json()["errors"]
