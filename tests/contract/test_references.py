"""References between schemas (OpenAPI, Reference Object), and the keywords beside them."""

import pytest

from api.contract.schema.serializer import Serializers
from tests.support.engine import SHARED, Engine, document
from tests.support.schemas import NEW, OLD, schemas


def test_references_may_lead_to_boolean_schemas(engine: Engine) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    parts = "{a: {$ref: '#/components/schemas/Any'}, b: {$ref: '#/components/schemas/Never'}}"
    thing = f"{{type: object, additionalProperties: false, properties: {parts}}}"
    content = f"content: {{application/json: {{schema: {thing}}}}}"
    operation = f"requestBody: {{{content}}}, responses: {{'200': {{description: '', {content}}}}}"
    made = document(f"{{tags: [a], operationId: addThing, {operation}}}").replace("get:", "post:")
    engine.write(made + "components: {schemas: {Any: true, Never: false}}\n")
    engine.handlers.add_thing = lambda body: {**body, "b": 1}  # type: ignore[attr-defined]
    assert engine.request("/x", "POST", json={"a": [1]}).json() == {"a": [1]}
    assert engine.request("/x", "POST", json={"b": 1}).status_code == 400


@pytest.mark.parametrize(("version", "is_hidden"), [(OLD, False), (NEW, True)])
def test_openapi_3_0_ignores_the_keywords_beside_a_reference(version: str, is_hidden: bool) -> None:
    part = {"$ref": "#/components/schemas/Text", "readOnly": True, "writeOnly": True, "maxLength": 1}
    made = schemas(version, {"Text": {"type": "string"}})
    for validator in (made.request_validator, made.response_validator):
        assert validator({"properties": {"a": part}}).accepts({"a": "bc"}) is not is_hidden
    serialize = Serializers(made).make({"type": "object", "properties": {"a": part}})
    assert serialize({"a": "b"}) == ({} if is_hidden else {"a": "b"})
