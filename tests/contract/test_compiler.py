"""The compiled predicate of a schema and jsonschema agree on every value."""

import json
from collections import Counter
from collections.abc import Iterator
from inspect import ismethod
from typing import Any

import pytest

from api import app
from api.contract.document.operation import Json
from api.contract.schema.compiler import Compiler
from api.contract.schema.formats import TypedFormat
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas
from api.contract.schema.validator import SchemaValidator
from tests.support.random_json import RandomJson
from tests.support.shipped import resolved

DOCUMENT = resolved()
FORMATS = app.formats("Charter")
OLD, NEW = "3.0.3", "3.1.0"


MADE = {version: Schemas(DOCUMENT | {"openapi": version}, FORMATS) for version in (OLD, NEW)}


def validators(schema: Any, version: str = OLD) -> list[SchemaValidator]:
    """Return the validators of a schema for requests and for responses."""
    return [MADE[version].request_validator(schema), MADE[version].response_validator(schema)]


def schemas(node: Any) -> Iterator[Json]:
    """Yield each `schema` in a part of the contract: of parameters, bodies, responses and headers."""
    if isinstance(node, dict) and isinstance(node.get("schema"), dict):
        yield node["schema"]
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from schemas(part)


CONTRACT_SCHEMAS = {json.dumps(schema): schema for schema in schemas([DOCUMENT["paths"], DOCUMENT["x-elsewhere"]])}


def subschemas(schema: Json) -> Iterator[Json]:
    """Yield a schema and all schemas nested in it."""
    yield schema
    for part in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        yield from subschemas(part)


def compare_verdicts(schema: Any, values: list[Any], version: str = OLD) -> Counter[bool]:
    """Assert that predicate, jsonschema and faults agree on each value, and count the valid and the invalid ones."""
    counts: Counter[bool] = Counter()
    for validator in validators(schema, version):
        for value in values:
            verdict = validator.exact.is_valid(value)
            assert validator.accepts(value) is verdict, (schema, value)
            assert verdict is not any(faults_of(validator.exact.iter_errors(value), "/body")), (schema, value)
            counts[verdict] += 1
    return counts


def sample_values(rng: RandomJson, schema: Json, count: int) -> list[Any]:
    """Return valid, nearly valid and arbitrary values."""
    fitting = [rng.fitting(schema) for _ in range(count)]
    return [*fitting, *map(rng.broken, fitting), *(rng.value() for _ in range(count))]


def test_every_schema_of_the_contract_compiles() -> None:
    for schema in (part for contract_schema in CONTRACT_SCHEMAS.values() for part in subschemas(contract_schema)):
        assert not any(ismethod(validator.accepts) for validator in validators(schema)), schema


@pytest.mark.slow
def test_validators_agree_on_the_schemas_of_the_contract(rng: RandomJson) -> None:
    for schema in CONTRACT_SCHEMAS.values():
        counts: Counter[bool] = Counter()
        # A random value rarely fits the strictest schemas.
        for _ in range(400):
            counts += compare_verdicts(schema, sample_values(rng, schema, 20))
            if len(counts) == 2:
                break
        assert set(counts) == {True, False}, schema


@pytest.mark.slow
@pytest.mark.parametrize("version", [OLD, NEW])
def test_validators_agree_on_random_schemas(rng: RandomJson, version: str) -> None:
    counts: Counter[bool] = Counter()
    for schema in (rng.schema(later=version == NEW) for _ in range(1000)):
        counts += compare_verdicts(schema, sample_values(rng, schema, 3), version)
    # With few valid or few invalid values, the comparison would prove little.
    assert min(counts[True], counts[False]) > 2500, counts


def test_validators_agree_on_deeply_nested_schemas() -> None:
    schema: Json = {"type": "integer"}
    value: Any = 1
    broken: Any = "1"
    for _ in range(40):
        schema = {"type": "array", "items": {"type": "object", "additionalProperties": schema, "nullable": True}}
        value, broken = [{"a": value}], [{"a": broken}]
    assert compare_verdicts(schema, [value, broken, [None], [{"a": [{}, 1]}]]) == {True: 4, False: 4}


@pytest.mark.parametrize("const", [1, "x", [1], None])
@pytest.mark.parametrize("enum", [[1, 2], ["x", "y"], [[1], 2, "y"], ["x", None]])
def test_a_value_must_fit_both_const_and_enum(const: Any, enum: list[Any]) -> None:
    fits = const in enum
    counts = compare_verdicts({"const": const, "enum": enum}, [1, 2, "x", "y", [1], None], NEW)
    assert counts[True] == 2 * fits


def test_contract_text_is_never_compiled_as_code() -> None:
    for word in ("'", '"', "\\", "\n", "v0", "c0", "1): return True\n", "type", "__builtins__"):
        texts = {"type": "string", "enum": [word], "description": word}
        schema = {"type": "object", "properties": {word: texts}, "required": [word], "additionalProperties": False}
        assert compare_verdicts(schema, [{word: word}, {word: "x"}, {"x": word}, {}]) == {True: 2, False: 6}


def test_a_format_check_is_skipped_only_if_the_bounds_imply_it() -> None:
    formats = {"tens": range(0, 100, 10).__contains__, "few": range(5).__contains__, "count": range(5).count}
    for name, right in (("tens", [0, 90]), ("few", [0, 4]), ("count", [0, 4])):
        schema = {"type": "integer", "format": name, "minimum": right[0], "maximum": right[1]}
        typed = {name: TypedFormat(accepts, "integer") for name, accepts in formats.items()}
        reference = Schemas({}, typed).request_validator(schema).exact
        assert [n for n in range(-10, 110) if Compiler().predicate(reference)(n)] == [
            n for n in range(-10, 110) if reference.is_valid(n)
        ]
