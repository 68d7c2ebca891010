"""Random JSON and random schemas, which are the same for the same seed."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from api.contract.document.operation import Json

NAMES = ("a", "b", "status", "$ref", "")
TEXTS = (
    "",
    "a",
    "ab",
    "abc",
    "A1",
    "1",
    "\u0663",
    "\n",
    "a\n",
    "a\x00",
    "\u00e9",
    "e\u0301",
    "\U0001f600" * 3,
    "a" * 130,
)
NUMBERS = (0, 1, -1, 2, 3, 0.0, 1.0, 0.5, -2.5, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, 10**30, 1e300)
PATTERNS = (
    "^a",
    "b",
    "^a$",
    r"^[^\x00]*$",
    r"^(?!([^\x00])\1*$)[^\x00]*$",
    r"^\d+$",
    r"^\w{1,3}$",
    "^$",
    "[aA]",
    "^.$",
    r"^\s*$",
    r"^(?:a|bc)+$",
    "[\u00e0-\u00ff]",
)
# Texts in one of these formats.
FORMATTED = {
    "date-time": "2026-11-25T12:00:00.000Z",
    "email": "alice@example.com",
    "new-password": "correct horse battery",
    "username": "alice_1",
    "uuid": "019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d",
}

T = TypeVar("T")


class RandomJson:
    """A seeded generator. Its values are likely to match a schema, but not certain to."""

    def __init__(self, number: int) -> None:
        self.random = random.Random(number)  # noqa: S311 - a seed repeats it
        self._matching: dict[str, list[str]] = {}
        self._later = False

    def choice(self, among: Sequence[T]) -> T:
        return self.random.choice(among)

    def happens(self, chance: float) -> bool:
        return self.random.random() < chance

    def value(self, depth: int = 3) -> Any:
        """Return any JSON value."""
        makers: list[Callable[[], Any]] = [
            lambda: self.choice([None, True, False]),
            lambda: self.choice(NUMBERS),
            lambda: self.choice([*TEXTS, *FORMATTED.values()]),
        ]
        if depth:
            makers += [lambda: self._several(lambda: self.value(depth - 1)), lambda: self._members(depth)]
        return self.choice(makers)()

    def _several(self, make: Callable[[], Any], least: int = 0, most: int = 3) -> list[Any]:
        return [make() for _ in range(self.random.randint(least, max(least, most)))]

    def _members(self, depth: int) -> Json:
        return {name: self.value(depth - 1) for name in self._several(lambda: self.choice(NAMES))}

    def fitting(self, schema: Any) -> Any:
        """Return a value that a schema is likely to accept."""
        if isinstance(schema, bool):
            return self.value()
        if "const" in schema and self.happens(0.8):
            return schema["const"]
        choices = [part for keyword in ("allOf", "anyOf", "oneOf") for part in schema.get(keyword, [])]
        if choices and self.happens(0.5):
            return self.fitting(self.choice(choices))
        if schema.get("nullable") and self.happens(0.2):
            return None
        if "enum" in schema:
            return self.choice(schema["enum"])
        makers: dict[str, Callable[[Json], Any]] = {
            "array": self._array,
            "boolean": lambda _: self.choice([True, False]),
            "integer": self._integer,
            "null": lambda _: None,
            "number": lambda _: self.choice(NUMBERS),
            "object": self._object,
            "string": self._string,
        }
        kinds = schema.get("type", [])
        kind = self.choice(kinds) if kinds and isinstance(kinds, list) else kinds
        return makers[kind](schema) if kind else self.value()

    def _array(self, schema: Json) -> list[Any]:
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", least + 2), least + 2)
        first = [self.fitting(part) for part in schema.get("prefixItems", [])]
        return first[:most] + self._several(lambda: self.fitting(schema.get("items", {})), least, most)[len(first) :]

    def _integer(self, schema: Json) -> int:
        least = schema.get("minimum", -(2**31))
        most = schema.get("maximum", least + 2**31)
        return int(self.choice([least, most, least + 1, most - 1, (least + most) // 2]))

    def _object(self, schema: Json) -> Json:
        required = schema.get("required", [])
        parts = schema.get("properties", {})
        names = [*required, *(name for name in parts if self.happens(0.5))]
        if schema.get("additionalProperties", True) and self.happens(0.5):
            names.append(self.choice(NAMES))
        others = schema.get("additionalProperties")
        other = others if isinstance(others, dict) else {}
        return {name: self.fitting(parts.get(name, other)) for name in names}

    def _string(self, schema: Json) -> str:
        if schema.get("format") in FORMATTED and self.happens(0.8):
            return FORMATTED[str(schema["format"])]
        least, pattern = schema.get("minLength", 0), schema.get("pattern", "")
        most = schema.get("maxLength", least + 3)
        texts = [*TEXTS, "a" * least, "a" * most, *(self.matching(pattern) if pattern else [])]
        fitting: list[str] = [text for text in texts if least <= len(text) <= most and re.search(pattern, text)]
        return self.choice(fitting or TEXTS)

    def matching(self, pattern: str) -> list[str]:
        """Return some texts that match a pattern."""
        found = self._matching.setdefault(pattern, [])
        if not found:
            # Hypothesis can generate texts from a pattern.
            @seed(self.random.random())
            @settings(max_examples=15, database=None, deadline=None)
            @given(st.from_regex(pattern))
            def collect(text: str) -> None:
                # Python lets `$` match before a last line feed, but JSON Schema does not.
                found.extend([text, text.removesuffix("\n")])

            collect()
        return found

    def broken(self, value: Any) -> Any:
        """Return a copy with one random change."""
        if isinstance(value, dict) and value and self.happens(0.8):
            name = self.choice([*value])
            return {**value, name: self.broken(value[name])}
        if isinstance(value, list) and value and self.happens(0.8):
            at = self.random.randrange(len(value))
            return [*value[:at], self.broken(value[at]), *value[at + 1 :]]
        changes = [self.value(1)]
        if isinstance(value, dict):
            changes += [{**value, self.choice(NAMES): self.value(1)}, dict([*value.items()][1:])]
        elif isinstance(value, list):
            changes += [[*value, self.value(1)], value[1:], value * 2]
        elif isinstance(value, str):
            changes += [f"{value}\n", f"{value}\u00e9", value[1:], value.upper(), value * 2]
        elif isinstance(value, int | float):
            changes += [value + 1, value - 1, -value, float(value), str(value)]
        return self.choice(changes)

    def schema(self, depth: int = 2, later: bool | None = None) -> Any:
        """Return any schema, mostly with a type and keywords of that type. With `later`, one of OpenAPI 3.1."""
        self._later = self._later if later is None else later
        if self._later and depth < 2 and self.happens(0.05):
            return self.happens(0.7)
        kind = self.choice([*_OF_TYPE, None])
        schema: Json = {"type": kind} if kind else {}
        keywords = [keyword for keyword in _OF_TYPE.get(kind, ()) if self.happens(0.4)]
        nesting = {**_NESTING, **(_LATER_NESTING if self._later else {})}
        arguments = {**_ARGUMENTS, **(_LATER_ARGUMENTS if self._later else {})}
        if not kind or self.happens(0.4):
            keywords += self._several(lambda: self.choice([*nesting, *arguments]), 1, 2)
        for keyword in keywords:
            if keyword in nesting and depth:
                schema[keyword] = nesting[keyword](self, depth - 1)
            elif keyword in arguments:
                schema[keyword] = self.choice(arguments[keyword])
        if self.happens(0.15):
            schema |= {"type": [kind, "null"]} if self._later and kind else {"nullable": True}
        if self.happens(0.15) and kind in {"boolean", "integer", "string"}:
            of_kind = self._several(lambda: self.fitting({"type": kind}), 1, 3)
            schema["enum"] = of_kind + self.choice(_ODD_ONES)
        return schema

    def parts(self, depth: int) -> Json:
        return {name: self.schema(depth) for name in self._several(lambda: self.choice(NAMES), 1)}

    def alternatives(self, depth: int) -> list[Json]:
        return self._several(lambda: self.schema(depth), 1)


# The keywords that most schemas consist of.
_OF_TYPE: dict[str | None, tuple[str, ...]] = {
    "array": ("items", "maxItems", "minItems"),
    "boolean": (),
    "integer": ("format", "maximum", "minimum"),
    "number": ("maximum", "minimum"),
    "object": ("additionalProperties", "properties", "required"),
    "string": ("format", "maxLength", "minLength", "pattern"),
}
_NESTING: Mapping[str, Callable[[RandomJson, int], Any]] = {
    "additionalProperties": lambda rng, depth: rng.choice([False, False, True, {}, rng.schema(depth)]),
    "allOf": RandomJson.alternatives,
    "anyOf": RandomJson.alternatives,
    "items": RandomJson.schema,
    "not": RandomJson.schema,
    "oneOf": RandomJson.alternatives,
    "patternProperties": lambda rng, depth: {rng.choice(PATTERNS): rng.schema(depth)},
    "properties": RandomJson.parts,
}
_ODD_ONES: list[list[Any]] = [[], [None], ["x"], [True]]
_FLAGS = [True, False]
_ARGUMENTS: Mapping[str, list[Any]] = {
    "description": ["minLength: 9"],
    "example": [{"type": "string"}],
    "exclusiveMaximum": _FLAGS,
    "exclusiveMinimum": _FLAGS,
    "format": ["int32", "int64", *FORMATTED, "unheard-of"],
    "maxItems": [0, 1, 2],
    "maxLength": [0, 1, 3, 40],
    "maxProperties": [0, 1, 2],
    "maximum": [0, 1, 1.5, 2**31, 2**63],
    "minItems": [0, 1, 2],
    "minLength": [0, 1, 2, 3],
    "minProperties": [0, 1, 2],
    "minimum": [-1, 0, 0.5, 1],
    "multipleOf": [1, 2, 0.5, 0.01],
    "pattern": [*PATTERNS],
    "readOnly": _FLAGS,
    "required": [["a"], ["a", "b"], ["status"]],
    "uniqueItems": _FLAGS,
    "writeOnly": _FLAGS,
}
# The keywords that only OpenAPI 3.1 has, or that it has in another form.
_LATER_NESTING: Mapping[str, Callable[[RandomJson, int], Any]] = {
    "contains": RandomJson.schema,
    "dependentSchemas": RandomJson.parts,
    "else": RandomJson.schema,
    "if": RandomJson.schema,
    "prefixItems": RandomJson.alternatives,
    "propertyNames": RandomJson.schema,
    "then": RandomJson.schema,
    "unevaluatedItems": RandomJson.schema,
    "unevaluatedProperties": lambda rng, depth: rng.choice([False, rng.schema(depth)]),
}
_LATER_ARGUMENTS: Mapping[str, list[Any]] = {
    "const": [1, True, "a", None, [1], {"a": 1.0}],
    "dependentRequired": [{"a": ["b"]}, {"status": ["a", "b"]}],
    "exclusiveMaximum": [0, 1, 1.5],
    "exclusiveMinimum": [-1, 0, 0.5],
    "maxContains": [0, 1, 2],
    "minContains": [0, 1, 2],
}
