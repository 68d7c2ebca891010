"""Nothing undeclared leaves: random schemas of every keyword, and values with members that no schema declares."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from jsonschema import ValidationError
from jsonschema.validators import Draft4Validator, Draft202012Validator, extend

from api.contract.document.operation import Json
from api.contract.schema.json_values import NotSerializable, encode
from api.contract.schema.schemas import Schemas
from api.contract.schema.serializer import Serializers
from tests.support.random_json import RandomJson

NAMES = ["a", "b", "c", "d"]
SCALARS: list[Json] = [
    {"type": "string"},
    {"type": "integer"},
    {"type": "boolean"},
    {"enum": ["x", 1]},
    {"type": "string", "enum": ["x"]},
    {"type": "string", "not": {"enum": ["y"]}},
]
OLD = ["properties", "required", "additionalProperties", "minProperties", "writeOnly", "items", "enum", "not"]
OLD += ["allOf", "anyOf", "oneOf", "$ref", "discriminator"]
NEW = ["patternProperties", "unevaluatedProperties", "propertyNames", "dependentSchemas", "dependentRequired", "if"]
NEW += ["then", "else", "prefixItems", "unevaluatedItems", "const"]
KEYWORDS = {"3.0.3": OLD, "3.1.0": OLD + NEW}


def forbid_write_only(_: Any, is_write_only: bool, __: Any, ___: Json) -> Iterator[ValidationError]:
    """The keyword `writeOnly` in a response."""
    if is_write_only:
        yield ValidationError("a write-only member")


VALIDATORS = {
    version: extend(base, {"writeOnly": forbid_write_only})  # type: ignore[no-untyped-call]
    for version, base in {"3.0.3": Draft4Validator, "3.1.0": Draft202012Validator}.items()
}
OBJECT = {
    "properties", "additionalProperties", "patternProperties", "propertyNames", "required", "minProperties",
    "dependentRequired", "dependentSchemas", "unevaluatedProperties",
}  # fmt: skip


class RandomSchemas:
    """Random schemas and values. `is_new` adds the keywords of OpenAPI 3.1."""

    def __init__(self, chance: Random, is_new: bool) -> None:
        self.chance = chance
        self.is_new = is_new

    def flag(self) -> bool:
        return self.chance.random() < 0.25

    def inner(self, depth: int) -> Json:
        """Return a schema of this depth at most."""
        if depth == 0:
            return dict(self.chance.choice(SCALARS))
        makers = [self.object, self.object, self.array, self.composed]
        return self.inner(0) if self.chance.random() < 0.2 else self.chance.choice(makers)(depth - 1)

    def part(self, depth: int) -> Any:
        """Return the schema of a member or an item."""
        return {} if self.chance.random() < 0.05 else self.inner(depth)

    def object(self, depth: int) -> Json:
        names = self.chance.sample(NAMES, self.chance.randrange(4))
        schema: Json = {"type": "object", "properties": {name: self.part(depth) for name in names}}
        for name in names:
            # b is not write-only, because other members depend on it.
            if name != "b" and self.chance.random() < 0.1:
                schema["properties"][name] = {**schema["properties"][name], "writeOnly": True}
            elif self.flag():
                schema.setdefault("required", []).append(name)
        if self.flag():
            schema["additionalProperties"] = self.chance.choice([True, False, self.part(depth)])
        if self.flag():
            schema["minProperties"] = 1
        if self.is_new:
            self.add_new_keywords(schema, depth)
        return schema

    def add_new_keywords(self, schema: Json, depth: int) -> None:
        if self.flag():
            schema["patternProperties"] = {"^c": self.part(depth)}
        if self.flag():
            schema["unevaluatedProperties"] = self.chance.choice([True, False, self.part(depth)])
        if self.flag():
            schema["propertyNames"] = {"pattern": "^[a-dk]"}
        if self.flag():
            schema["dependentRequired"] = {"a": ["b"]}
        if self.flag():
            schema["dependentSchemas"] = {"a": self.branch()}
        if self.flag():
            schema |= {"if": {"properties": {"a": {"const": "x"}}}, "then": self.branch(), "else": self.branch()}
        if {"if", "dependentSchemas"} & schema.keys():
            # The member that chooses leaves, or else the choice could not be repeated.
            schema["properties"]["a"] = {"type": "string"}

    def branch(self) -> Json:
        """Return a schema that only adds members."""
        names = self.chance.sample(NAMES[1:], 2)
        return {"type": "object", "properties": {name: self.inner(0) for name in names}}

    def array(self, depth: int) -> Json:
        schema: Json = {"type": "array", "items": self.part(depth)}
        if self.is_new and self.chance.random() < 0.5:
            schema["prefixItems"] = [self.part(depth)]
            if self.chance.random() < 0.5:
                schema["unevaluatedItems"] = schema.pop("items")
        return schema

    def composed(self, depth: int) -> Json:
        keyword = self.chance.choice(["allOf", "anyOf", "oneOf", "$ref", "discriminator"])
        if keyword == "$ref":
            return {"$ref": "#/components/schemas/Named"}
        if keyword == "discriminator":
            parts = [{"$ref": f"#/components/schemas/{name}"} for name in ("x", "y")]
            return {"oneOf": parts, "discriminator": {"propertyName": "kind"}}
        return {keyword: [self.inner(depth) for _ in range(self.chance.randrange(1, 4))]}

    def value(self, depth: int) -> Any:
        """Return any value."""
        kind = self.chance.random() if depth else 1
        if kind < 0.5:
            return {name: self.value(depth - 1) for name in [*NAMES, "secret"] if self.chance.random() < 0.7}
        if kind < 0.6:
            return [self.value(depth - 1) for _ in range(self.chance.randrange(3))]
        return self.chance.choice(["x", "y", 1, 2, True])

    def fitting(self, schema: Any, components: Json, depth: int = 4) -> Any:
        """Return a value that is likely to match a schema, except for members that the schema does not have."""
        if not isinstance(schema, dict) or depth < -2 or not schema:
            return self.value(1)
        if "$ref" in schema:
            return self.fitting(components[schema["$ref"].split("/")[-1]], components, depth)
        if "type" not in schema and "enum" not in schema:
            return self.fitting_composed(schema, components, depth - 1)
        if schema.get("type") == "array":
            parts = schema.get("prefixItems", []) + [schema.get("items", schema.get("unevaluatedItems"))] * 2
            return [self.fitting(part, components, depth - 1) for part in parts[: self.chance.randrange(4)]]
        if schema.get("type") == "object":
            own = {
                name: self.fitting(part, components, depth - 1)
                for name, part in schema["properties"].items()
                if name in schema.get("required", ()) or self.chance.random() < 0.8
            }
            return {name: self.value(2) for name in [*NAMES, "secret"] if self.flag()} | own
        return "x" if "enum" in schema else {"string": "y", "integer": 2, "boolean": True}[schema["type"]]

    def fitting_composed(self, schema: Json, components: Json, depth: int) -> Any:
        if "discriminator" in schema:
            name = self.chance.choice(["x", "y"])
            made = self.fitting(components[name], components, depth)
            return {**(made if isinstance(made, dict) else {}), "kind": name}
        parts = [
            self.fitting(part, components, depth)
            for keyword in ("allOf", "anyOf", "oneOf")
            for part in schema.get(keyword, ())
        ]
        if "allOf" in schema and all(isinstance(part, dict) for part in parts):
            return {name: member for part in parts for name, member in part.items()}
        return self.chance.choice(parts or [self.value(1)])


class Pair(NamedTuple):
    """A value that left, and the value of the handler, which chooses the branches."""

    served: Any
    given: Any

    def part(self, step: Any) -> "Pair":
        return Pair(self.served[step], self.given[step])

    def names(self) -> set[str]:
        return set(self.given) if isinstance(self.given, dict) else set()


class Oracle:
    """Finds the members of a response that its schema does not declare, by the plain reading of the specification."""

    def __init__(self, document: Json, version: str) -> None:
        self.document = document
        self.validator = VALIDATORS[version]

    def undeclared(self, schemas: list[Any], value: Pair, pointer: str = "") -> list[str]:
        """Return the undeclared members, for the choice of matching branches with the fewest of them.

        Members that did not leave may have made a branch invalid that is valid now.
        """
        found = [pointer]
        for pieces in self.choices(schemas, value):
            found = list(self.leaks(pieces, value, pointer))
            if not found:
                break
        return found

    def leaks(self, pieces: list[Json], value: Pair, pointer: str) -> Iterator[str]:
        if isinstance(value.served, dict) and any(OBJECT & piece.keys() or "type" in piece for piece in pieces):
            for name in value.served:
                found = [schema for piece in pieces for schema in self.declared(piece, name)]
                found = found or [part["unevaluatedProperties"] for part in pieces if "unevaluatedProperties" in part]
                if not found or False in found or any(self.hides(schema) for schema in found):
                    yield f"{pointer}/{name}"
                else:
                    yield from self.undeclared(found, value.part(name), f"{pointer}/{name}")
        if isinstance(value.served, list):
            for number in range(len(value.served)):
                yield from self.undeclared(list(self.items(pieces, number)), value.part(number), f"{pointer}/{number}")

    def choices(self, schemas: list[Any], value: Pair) -> Iterator[list[Json]]:
        """Yield the schemas that apply to a value, for each choice of the branches that match it."""
        for parts in itertools.product(*(list(self.choices_of(schema, value)) for schema in schemas)):
            yield [piece for part in parts for piece in part]

    def choices_of(self, schema: Any, value: Pair) -> Iterator[list[Json]]:
        if not isinstance(schema, dict):
            yield []
            return
        if "$ref" in schema:
            yield from self.choices_of(self.target(schema), value)
            return
        always = list(schema.get("allOf", ()))
        always += [part for name, part in schema.get("dependentSchemas", {}).items() if name in value.names()]
        conditions = [[schema["if"], schema["then"]], [schema["else"]]] if "if" in schema else [[]]
        for condition, chosen in itertools.product(conditions, self.branches(schema, value)):
            # A value that breaks the other keywords may take either way.
            is_broken = bool(condition) and not self.fits(without(schema, "if", "then", "else"), value)
            if not condition or is_broken or self.fits(schema["if"], value, is_valid=len(condition) > 1):
                for pieces in self.choices([*always, *condition, *chosen], value):
                    yield [schema, *pieces]

    def branches(self, schema: Json, value: Pair) -> list[list[Any]]:
        parts = [part for key in ("anyOf", "oneOf") for part in schema.get(key, ())]
        name = value.given.get("kind") if "discriminator" in schema and isinstance(value.given, dict) else None
        named = [part for part in parts if name in ("x", "y") and part["$ref"].endswith(f"/{name}")]
        # The only branch is not a choice.
        matching = named or [part for part in parts if len(parts) == 1 or self.fits(part, value)]
        most = 1 if "oneOf" in schema else len(matching)
        found = [list(some) for count in range(1, most + 1) for some in itertools.combinations(matching, count)]
        return found if parts else [[]]

    def target(self, schema: Json) -> Json:
        found: Json = self.document["components"]["schemas"][schema["$ref"].split("/")[-1]]
        return found

    def declared(self, piece: Json, name: str) -> Iterator[Any]:
        own = piece.get("properties", {})
        matching = [part for pattern, part in piece.get("patternProperties", {}).items() if re.search(pattern, name)]
        if name in own:
            yield own[name]
        yield from matching
        if name not in own and not matching and "additionalProperties" in piece:
            yield piece["additionalProperties"]

    def items(self, pieces: list[Json], number: int) -> Iterator[Any]:
        for piece in pieces:
            prefix = piece.get("prefixItems", [])
            yield prefix[number] if number < len(prefix) else piece.get("items", piece.get("unevaluatedItems", True))

    def applied(self, schema: Any) -> Iterator[Json]:
        """Yield the schemas that a schema is composed of."""
        if isinstance(schema, dict):
            yield schema
            parts = [self.target(schema)] if "$ref" in schema else []
            for part in [*parts, *(part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key, ()))]:
                yield from self.applied(part)

    def hides(self, schema: Any) -> bool:
        return isinstance(schema, dict) and "writeOnly" in schema and "$ref" not in schema

    def fits(self, schema: Any, value: Pair, *, is_valid: bool = True) -> bool:
        """Return True if the value that left or a part of the handler's value is valid in a branch, or is not."""
        check = self.validator({**self.document, "allOf": [schema]})
        candidates = [value.served, value.given]
        if isinstance(value.served, dict):
            # A row may have members that the branch does not name.
            named = [set(part.get("properties", ())) for part in self.applied(schema)]
            candidates += [
                {name: member for name, member in value.served.items() if name in some}
                for some in [set().union(*named), *named]
            ]
        if isinstance(value.served, dict):
            others = [name for name in value.given if name not in value.served]
            candidates += [
                value.served | {name: value.given[name] for name in some}
                for count in range(1, len(others))
                for some in itertools.combinations(others, count)
            ]
        return any(check.is_valid(candidate) is is_valid for candidate in candidates)


def without(schema: Json, *names: str) -> Json:
    return {name: part for name, part in schema.items() if name not in names}


def keywords(node: Any) -> Iterator[str]:
    """Yield the names of all members inside a schema."""
    if isinstance(node, dict):
        yield from node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from keywords(part)


def row(value: Any) -> Any:
    """Return a value whose mappings are objects with attributes."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: row(member) for name, member in value.items()})
    return [row(item) for item in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize("shape", [lambda value: value, row])
def test_nothing_undeclared_leaves(rng: RandomJson, version: str, shape: Any) -> None:
    made = RandomSchemas(rng.random, version == "3.1.0")
    counts: Counter[str] = Counter()
    for _ in range(800):
        # The oracle is exact for contracts whose keywords do not contradict each other at several levels.
        schema = made.chance.choice([made.object, made.composed])(1 if made.is_new else 2)
        components = {name: made.object(1) for name in ("Named", "x", "y")}
        for name in ("x", "y"):
            components[name]["properties"]["kind"] = {"type": "string"}
        document = {"openapi": version, "components": {"schemas": components}}
        serialize = Serializers(Schemas(document, {})).make(schema)
        oracle = Oracle(document, version)
        for value in (made.fitting(schema, components) for _ in range(4)):
            with suppress(NotSerializable):
                served = json.loads(encode(serialize(shape(value))))
                assert oracle.undeclared([schema], Pair(served, value)) == [], (components, schema, value, served)
                counts.update(keywords(schema))
    # A keyword that occurs rarely would prove little.
    assert min(counts[keyword] for keyword in KEYWORDS[version]) > 20, counts
