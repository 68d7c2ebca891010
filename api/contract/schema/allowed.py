"""The types and the members that a schema allows, together with the schemas that it is composed of."""

from typing import Any

from api.contract.document.operation import Json, object_of
from api.contract.schema.schemas import Schemas


def parts_of(schema: Json, *keywords: str) -> list[Json]:
    """Return the schemas in the lists of these keywords. Boolean schemas are left out."""
    return [part for keyword in keywords for part in schema.get(keyword, []) if isinstance(part, dict)]


def _target(schema: Json, schemas: Schemas) -> list[Json]:
    return [schemas.resolve(schema)] if "$ref" in schema else []


def branches_of(schema: Json, schemas: Schemas) -> list[Json]:
    """Return the schema and the schemas that it is composed of, each once."""
    found: list[Json] = []
    pending, seen = [schema], set[int]()
    while pending:
        part = pending.pop()
        if id(part) not in seen:
            seen.add(id(part))
            found.append(part)
            pending += reversed([*_target(part, schemas), *parts_of(part, "allOf", "anyOf", "oneOf")])
    return found


def is_array(schema: Any, schemas: Schemas) -> bool:
    """Return True if a schema allows arrays and nothing else, apart from null."""
    types = types_of(object_of(schema), schemas) or frozenset()
    return "array" in types and types <= {"array", "null"}


def types_of(schema: Json, schemas: Schemas) -> frozenset[str] | None:
    """Return the types that a schema allows, or None if it allows all types."""
    return _types(schema, schemas, {})


def _types(schema: Json, schemas: Schemas, known: dict[int, frozenset[str] | None]) -> frozenset[str] | None:
    """Return the types that a schema allows. `known` holds those of other schemas."""
    if id(schema) in known:
        return known[id(schema)]
    known[id(schema)] = None
    found = [_own_types(schema)]
    found += [_types(part, schemas, known) for part in [*_target(schema, schemas), *parts_of(schema, "allOf")]]
    for keyword in ("anyOf", "oneOf"):
        options = [_types(part, schemas, known) for part in parts_of(schema, keyword)]
        some = [option for option in options if option is not None]
        found.append(frozenset().union(*some) if options and len(some) == len(options) else None)
    limits = [types for types in found if types is not None]
    allowed = frozenset.intersection(*limits) if limits else None
    known[id(schema)] = allowed | {"null"} if allowed and schema.get("nullable") is True else allowed
    return known[id(schema)]


def _own_types(schema: Json) -> frozenset[str] | None:
    if "type" in schema:
        named = schema["type"]
        return frozenset([named] if isinstance(named, str) else named)
    if "enum" in schema or "const" in schema:
        return frozenset(_type_of(value) for value in schema.get("enum", [schema.get("const")]))
    if "properties" in schema or "additionalProperties" in schema:
        return frozenset({"object"})
    return frozenset({"array"}) if "items" in schema else None


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def is_open(schema: Json, schemas: Schemas) -> bool:
    """Return True if an object may have members that the schema does not name."""
    return _is_open(schema, schemas, {})


def _is_open(schema: Json, schemas: Schemas, known: dict[int, bool]) -> bool:
    if id(schema) in known:
        return known[id(schema)]
    known[id(schema)] = True
    everywhere = [*_target(schema, schemas), *parts_of(schema, "allOf")]
    options = parts_of(schema, "anyOf", "oneOf")
    known[id(schema)] = (
        schema.get("additionalProperties") is not False
        and schema.get("unevaluatedProperties") is not False
        and all(_is_open(part, schemas, known) for part in everywhere)
        and (not options or any(_is_open(part, schemas, known) for part in options))
    )
    return known[id(schema)]
