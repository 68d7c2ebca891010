"""The quick test of a schema and jsonschema never disagree, whatever the schema and whatever the value."""

import json
from collections import Counter
from collections.abc import Iterator
from inspect import ismethod
from typing import Any

from connexion.json_schema import Draft4RequestValidator, Draft4ResponseValidator, resolve_refs

from api import app, contract
from api.config.paths import resource_dir
from api.contract.document.model import Json
from api.contract.schema.compiler import compile_predicate
from api.contract.schema.formats import STANDARD, TypedFormat, format_checker
from api.contract.schema.request_schema import SchemaValidator
from tests.support.random_json import Wild

DOCUMENT: Json = resolve_refs(contract.load(resource_dir("openapi")).document)
FORMATS = {**STANDARD, **app.formats("Charter")}
KINDS = (Draft4RequestValidator, Draft4ResponseValidator)


def schemas(node: Any) -> Iterator[Json]:
    """What stands as `schema` anywhere in a part of the contract: of a parameter, a body, an answer or a header."""
    if isinstance(node, dict) and isinstance(node.get("schema"), dict):
        yield node["schema"]
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from schemas(part)


OURS = {json.dumps(schema): schema for schema in schemas([DOCUMENT["paths"], DOCUMENT["x-elsewhere"]])}


def inside(schema: Json) -> Iterator[Json]:
    """A schema and all that it is made of."""
    yield schema
    for part in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        yield from inside(part)


def verdicts(schema: Json, values: list[Any]) -> Counter[bool]:
    """How many of these values are taken and how many refused, by all alike: quick test, jsonschema, and faults."""
    found: Counter[bool] = Counter()
    check = SchemaValidator(schema, FORMATS)
    for kind in KINDS:
        exact = kind(schema, format_checker=format_checker(FORMATS))
        quick = compile_predicate(exact)
        for value in values:
            verdict = exact.is_valid(value)
            assert quick(value) is verdict, (kind, schema, value)
            assert kind is not Draft4RequestValidator or verdict is not any(check.faults(value, "/body"))
            found[verdict] += 1
    return found


def tried(wild: Wild, schema: Json, count: int) -> list[Any]:
    """Values that fit, that nearly fit, and any."""
    fitting = [wild.fitting(schema) for _ in range(count)]
    return [*fitting, *map(wild.broken, fitting), *(wild.value() for _ in range(count))]


def test_the_contract_has_no_keyword_that_is_not_quick() -> None:
    for schema in (part for whole in OURS.values() for part in inside(whole)):
        for kind in KINDS:
            assert not ismethod(compile_predicate(kind(schema, format_checker=format_checker(FORMATS)))), schema


def test_all_agree_on_the_schemas_of_the_contract(wild: Wild) -> None:
    for schema in OURS.values():
        assert set(verdicts(schema, tried(wild, schema, 20))) == {True, False}, schema


def test_all_agree_on_any_schema(wild: Wild) -> None:
    found: Counter[bool] = Counter()
    for schema in (wild.schema() for _ in range(1000)):
        found += verdicts(schema, tried(wild, schema, 3))
    # Both are common, or little was tried.
    assert min(found[True], found[False]) > 2500, found


def test_whatever_the_depth_all_agree() -> None:
    schema: Json = {"type": "integer"}
    value: Any = 1
    broken: Any = "1"
    for _ in range(40):
        schema = {"type": "array", "items": {"type": "object", "additionalProperties": schema, "nullable": True}}
        value, broken = [{"a": value}], [{"a": broken}]
    assert verdicts(schema, [value, broken, [None], [{"a": [{}, 1]}]]) == {True: 4, False: 4}


def test_no_word_of_the_contract_becomes_code() -> None:
    for word in ("'", '"', "\\", "\n", "v0", "c0", "1): return True\n", "type", "__builtins__"):
        texts = {"type": "string", "enum": [word], "description": word}
        schema = {"type": "object", "properties": {word: texts}, "required": [word], "additionalProperties": False}
        assert verdicts(schema, [{word: word}, {word: "x"}, {"x": word}, {}]) == {True: 2, False: 6}


def test_a_format_is_left_out_only_where_the_bounds_say_more() -> None:
    formats = {"tens": range(0, 100, 10).__contains__, "few": range(5).__contains__, "count": range(5).count}
    for name, right in (("tens", [0, 90]), ("few", [0, 4]), ("count", [0, 4])):
        checker = format_checker(formats)
        checker.checkers[name] = (TypedFormat(int, formats[name]), ())
        exact = Draft4RequestValidator(
            {"type": "integer", "format": name, "minimum": right[0], "maximum": right[1]}, format_checker=checker
        )
        assert [n for n in range(-10, 110) if compile_predicate(exact)(n)] == [
            n for n in range(-10, 110) if exact.is_valid(n)
        ]


def test_after_a_no_jsonschema_has_the_last_word() -> None:
    schema = {"type": "integer", "enum": [1.0]}
    assert not compile_predicate(Draft4RequestValidator(schema, format_checker=format_checker({})))(1)
    assert not list(SchemaValidator(schema, {}).faults(1, "/body"))
