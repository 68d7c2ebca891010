"""Check the structure of a document against the tables of OpenAPI 3.0 and 3.1, and collect its parts by their kind."""

import re
from collections.abc import Callable, Mapping, Set
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from api.contract.document import consistency
from api.contract.document.faults import Faults, Pointer
from api.contract.document.objects import OBJECTS, SCHEMA_3_0, SCHEMA_3_1
from api.contract.document.operation import Json, resolve, steps_of
from api.contract.document.version import is_3_1

_STATUS = re.compile("[1-5]([0-9]{2}|XX)|default")
_NAMES = {bool: "a boolean", dict: "a mapping", float: "a number", int: "an integer", list: "a list", str: "a string"}
_SCALARS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "any": ("a value", lambda _: True),
    "string": ("a string", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "number": ("a number", lambda value: type(value) in {int, float}),
    "positive": ("a number above 0", lambda value: type(value) in {int, float} and value > 0),
    "count": ("an integer from 0", lambda value: type(value) is int and value >= 0),
}


class Part(NamedTuple):
    """An object of the document, such as a `Schema` or a `Parameter`. A `Reference` stands for one."""

    pointer: Pointer
    kind: str
    node: Json


class _Object(NamedTuple):
    fields: Mapping[str, str]
    required: frozenset[str]
    is_open: bool = False


@cache
def _object(kind: str, is_3_1: bool) -> _Object:
    if kind == "Schema":
        return _Object(SCHEMA_3_1 if is_3_1 else SCHEMA_3_0, frozenset(), is_open=is_3_1)
    table = {name: of for name, of in OBJECTS[kind].items() if is_3_1 or not name.endswith("+")}
    required = {name.rstrip("!") for name in table if name.endswith("!")}
    if is_3_1:
        required -= {"paths", "responses"}
    # In 3.0, everything beside `$ref` is ignored.
    return _Object({name.rstrip("!+"): of for name, of in table.items()}, frozenset(required), kind == "Reference")


class Structure:
    """A walk through a document, which adds to `faults` whatever OpenAPI does not allow, and collects the parts."""

    def __init__(self, document: Json, faults: Faults) -> None:
        self.parts: list[Part] = []
        self._document = document
        self._faults = faults
        self._kinds: dict[Pointer, str] = {}
        self._is_3_1 = is_3_1(document)
        self._visit("OpenAPI", document, ())
        self._check_references()

    def _visit(self, kind: str, value: Any, pointer: Pointer) -> None:
        """Check a value of a type of `objects`."""
        if " | " in kind:
            first, second = kind.split(" | ")
            self._visit(first if self._fits(first, value) else second, value, pointer)
        elif kind in _SCALARS:
            self._expect(_SCALARS[kind][0], _SCALARS[kind][1](value), value, pointer)
        elif kind[0] == "'":
            self._visit_choice(kind.strip("'").split(), value, pointer)
        elif kind[0] == "[":
            if self._expect("a list", isinstance(value, list), value, pointer):
                for index, item in enumerate(value):
                    self._visit(kind[1:-1], item, (*pointer, index))
        elif kind[-1] == "&" and isinstance(value, dict) and "$ref" in value and not self._is_schema_3_1(kind):
            self._kinds[pointer] = kind[:-1]
            self._visit_object("Reference", value, pointer)
        elif kind[0] in "{/2":
            self._visit_mapping(kind.rstrip("&") if kind[0] == "{" else kind, value, pointer)
        elif self._is_schema_3_1(kind) and isinstance(value, bool):
            self._kinds[pointer] = "Schema"
        else:
            self._kinds[pointer] = kind.rstrip("&")
            self._visit_object(kind.rstrip("&"), value, pointer)

    def _fits(self, kind: str, value: Any) -> bool:
        return isinstance(value, bool) if kind == "boolean" else isinstance(value, str)

    def _is_schema_3_1(self, kind: str) -> bool:
        return self._is_3_1 and kind == "Schema&"

    def _expect(self, what: str, holds: bool, value: Any, pointer: Pointer) -> bool:
        if not holds:
            found = "empty" if value is None else _NAMES[type(value)]
            name = _named(pointer)
            text = f", but is {found}" if value is None or what != _NAMES[type(value)] else ""
            self._faults.add(pointer, f"{name} must be {what}{text}")
        return holds

    def _visit_choice(self, choices: list[str], value: Any, pointer: Pointer) -> None:
        if self._expect("a string", isinstance(value, str), value, pointer) and value not in choices:
            self._faults.add(pointer, f"{_named(pointer)} must be one of {', '.join(choices)}, but is {value!r}")

    def _visit_mapping(self, kind: str, value: Any, pointer: Pointer) -> None:
        if not self._expect("a mapping", isinstance(value, dict), value, pointer):
            return
        inner = {"{": kind[1:-1], "/": kind[1:], "2": kind[3:]}[kind[0]]
        if kind[0] == "2" and not value:
            self._faults.add(pointer, f"{pointer[-1]!r} must not be empty")
        for name, part in value.items():
            if name.startswith("x-") and (kind[0] != "{" or inner == "PathItem&"):
                continue
            if kind[0] == "/" and not name.startswith("/"):
                self._faults.add((*pointer, name), f"the path {name!r} must start with /")
            if kind[0] == "2" and not _STATUS.fullmatch(name):
                self._faults.add((*pointer, name), f"{name!r} is not a status such as 200, 2XX or default")
            self._visit(inner, part, (*pointer, name))

    def _visit_object(self, kind: str, value: Any, pointer: Pointer) -> None:
        if not self._expect("a mapping", isinstance(value, dict), value, pointer):
            return
        self.parts.append(Part(pointer, kind, value))
        table = _object(kind, self._is_3_1)
        for name in sorted(table.required - value.keys()):
            self._faults.add(pointer, f"missing field {name!r}")
        for name, part in value.items():
            if name in table.fields:
                self._visit(table.fields[name], part, (*pointer, name))
            else:
                self._check_unknown(name, table, (*pointer, name))
        for message in consistency.faults_of(kind, value, self._is_3_1):
            self._faults.add(pointer, message)

    def _check_unknown(self, name: str, table: _Object, pointer: Pointer) -> None:
        # Documents contain extensions of other tools, so only a close match is a misspelled extension of Charter.
        meant = get_close_matches(name, table.fields, 1, cutoff=0.85 if name.startswith("x-") else 0.6)
        if meant and (not table.is_open or table.fields is SCHEMA_3_1):
            self._faults.add(pointer, f"unknown field {name!r}; did you mean {meant[0]!r}?")
        elif not table.is_open and not name.startswith("x-"):
            self._faults.add(pointer, f"unknown field {name!r}")

    def _check_references(self) -> None:
        """Check that each reference leads to a part of the right kind, and visit parts that only references reach."""
        names = [part.node.get(name) for part in self.parts for name in ("$id", "$anchor", "$dynamicAnchor")]
        anchors = {name for name in names if isinstance(name, str)}
        # The list grows while targets are visited.
        for part in self.parts:
            if part.kind == "Discriminator":
                self._check_mapping(part, anchors)
            reference = part.node.get("$ref")
            if not isinstance(reference, str) or reference.removeprefix("#") in anchors:
                continue
            pointer = (*part.pointer, "$ref")
            try:
                target = resolve(part.node, self._document)
            except KeyError:
                self._faults.add(pointer, _unresolved(reference))
                continue
            if "$ref" in target and part.kind != "Schema":
                self._faults.add(pointer, f"circular reference {reference!r}")
            else:
                self._check_target(part, reference, pointer)

    def _check_mapping(self, part: Part, anchors: Set[str]) -> None:
        """Check that each value of a discriminator names a schema."""
        mapping = part.node.get("mapping")
        for value, name in mapping.items() if isinstance(mapping, dict) else ():
            if str(name).removeprefix("#") in anchors:
                continue
            reference = str(name) if str(name).startswith("#") else f"#/components/schemas/{name}"
            try:
                resolve({"$ref": reference}, self._document)
            except KeyError:
                self._faults.add((*part.pointer, "mapping", value), f"the schema {name!r} of {value!r} not found")

    def _check_target(self, part: Part, reference: str, pointer: Pointer) -> None:
        expected = self._kinds.get(part.pointer, part.kind)
        target = tuple(steps_of(reference, self._document))
        if target not in self._kinds:
            self._visit(expected, resolve({"$ref": reference}, self._document), target)
        elif self._kinds[target] != expected:
            self._faults.add(pointer, f"{reference!r} is a {self._kinds[target]}, where a {expected} is expected")


def _named(pointer: Pointer) -> str:
    if not pointer:
        return "the document"
    name = pointer[-1]
    return repr(name) if isinstance(name, str) else f"item {name} of {pointer[-2]!r}"


def _unresolved(reference: str) -> str:
    if reference.startswith("#"):
        return f"reference {reference!r} not found"
    return f"the reference {reference!r} leads to another file; put its target under components"
