"""The keywords `unevaluatedProperties` and `unevaluatedItems` of JSON Schema 2020-12, section 11."""

from collections.abc import Iterator
from typing import Any

from jsonschema import ValidationError

from api.contract.document.operation import Json
from api.contract.schema.keywords import Errors, subschema, target
from api.contract.schema.patterns import compile_pattern


def unevaluated_properties(validator: Any, others: Any, instance: Any, schema: Json) -> Errors:
    """The keyword `unevaluatedProperties`."""
    if isinstance(instance, dict):
        yield from _check(validator, others, instance, instance.keys() - _names(validator, instance))


def unevaluated_items(validator: Any, others: Any, instance: Any, schema: Json) -> Errors:
    """The keyword `unevaluatedItems`."""
    if isinstance(instance, list):
        yield from _check(validator, others, instance, set(range(len(instance))) - _indexes(validator, instance))


def _check(validator: Any, others: Any, instance: Any, places: set[Any]) -> Errors:
    if others is False and places:
        yield ValidationError("")
    elif others is not False:
        for place in sorted(places):
            yield from validator.descend(instance[place], others, path=place)


def _names(validator: Any, instance: Json, *, nested: bool = False) -> set[str]:
    """Return the names that the keywords beside `unevaluatedProperties`, or the ones of a nested schema, evaluate."""
    schema = validator.schema
    if not isinstance(schema, dict):
        return set()
    if "additionalProperties" in schema or (nested and "unevaluatedProperties" in schema):
        return set(instance)
    searches = [compile_pattern(pattern) for pattern in schema.get("patternProperties", ())]
    found = {name for name in instance if any(search(name) for search in searches)}
    found |= schema.get("properties", {}).keys() & instance.keys()
    dependent = schema.get("dependentSchemas", {})
    parts = [subschema(validator, dependent[name]) for name in dependent if name in instance]
    for part in [*parts, *_applied(validator, instance)]:
        found |= _names(part, instance, nested=True)
    return found


def _indexes(validator: Any, instance: list[Any], *, nested: bool = False) -> set[int]:
    """Return the indexes that the keywords beside `unevaluatedItems`, or the ones of a nested schema, evaluate."""
    schema = validator.schema
    if not isinstance(schema, dict):
        return set()
    if "items" in schema or (nested and "unevaluatedItems" in schema):
        return set(range(len(instance)))
    found = set(range(len(schema.get("prefixItems", ()))))
    if "contains" in schema:
        item = subschema(validator, schema["contains"])
        found |= {index for index, value in enumerate(instance) if item.is_valid(value)}
    for part in _applied(validator, instance):
        found |= _indexes(part, instance, nested=True)
    return found


def _applied(validator: Any, instance: Any) -> Iterator[Any]:
    """Yield the schemas that apply to the same value and accept it."""
    schema = validator.schema
    yield from (target(validator, schema[name]) for name in ("$ref", "$dynamicRef") if name in schema)
    for keyword in ("allOf", "anyOf", "oneOf"):
        yield from (part for part in _parts(validator, schema.get(keyword, ())) if part.is_valid(instance))
    if "if" in schema:
        condition = subschema(validator, schema["if"])
        fits = condition.is_valid(instance)
        yield from [condition] if fits else []
        branch = "then" if fits else "else"
        yield from _parts(validator, [schema[branch]] if branch in schema else [])


def _parts(validator: Any, schemas: list[Any]) -> list[Any]:
    return [subschema(validator, schema) for schema in schemas]
