"""The handler gets the `default` of each property that a body does not have."""

import pytest

from api.contract.document.model import ContractError
from tests.support.engine import Engine
from tests.support.schemas import NEW, OLD, post, schemas


def test_defaults_are_filled_in_where_a_property_is_absent(engine: Engine) -> None:
    inner = "{type: object, default: {}, properties: {size: {type: integer, default: 3}}}"
    items = "{type: array, items: {type: object, properties: {open: {type: boolean, default: true}}}}"
    schema = (
        f"{{type: object, properties: {{inner: {inner}, items: {items}, word: {{type: string, default: a}},"
        " id: {type: string, readOnly: true, default: b}}}"
    )
    assert post(engine, schema, {}) == {"inner": {"size": 3}, "word": "a"}
    full = {"inner": {"size": 1}, "items": [{}, {"open": False}], "word": "b"}
    assert post(engine, schema, full) == full | {"items": [{"open": True}, {"open": False}]}
    assert post(engine, schema, {"word": 1})[0]["code"] == "WRONG_TYPE"


def test_defaults_of_alternatives_are_not_filled_in() -> None:
    part = {"type": "object", "properties": {"a": {"default": 1}}}
    made = schemas(NEW, {"Part": part})
    reference = {"$ref": "#/components/schemas/Part"}
    for keyword in ("anyOf", "oneOf"):
        assert made.request_validator({keyword: [part]}).filled({}) == {}
    for schema in ({"allOf": [reference]}, reference, {"type": "object", "allOf": [part]}):
        assert made.request_validator(schema).filled({}) == {"a": 1}
    assert made.request_validator({"prefixItems": [True, part], "items": part}).filled([{}, {}, {}]) == [
        {},
        {"a": 1},
        {"a": 1},
    ]
    assert made.request_validator({"additionalProperties": part}).filled({"x": {}}) == {"x": {"a": 1}}


def test_defaults_of_a_recursive_schema_are_filled_in() -> None:
    node = {"properties": {"part": {"$ref": "#/components/schemas/Node"}, "size": {"default": 1}}}
    validator = schemas(NEW, {"Node": node}).request_validator({"$ref": "#/components/schemas/Node"})
    assert validator.filled({"part": {}}) == {"part": {"size": 1}, "size": 1}
    endless = {"default": {}, **node}
    with pytest.raises(ContractError, match="the default of the property 'part' contains itself"):
        schemas(NEW, {"Node": endless}).request_validator({"$ref": "#/components/schemas/Node"})


def test_null_is_not_a_default_where_the_schema_forbids_it() -> None:
    for schema, filled in (({"type": "string"}, {}), ({"type": ["string", "null"]}, {"a": None})):
        validator = schemas(NEW).request_validator({"properties": {"a": {**schema, "default": None}}})
        assert validator.filled({}) == filled


def test_two_requests_do_not_share_a_default() -> None:
    validator = schemas(OLD).request_validator({"properties": {"a": {"type": "array", "default": []}}})
    validator.filled({})["a"].append(1)
    assert validator.filled({}) == {"a": []}
