"""Find the changes of a schema that break a client: stricter requests, or responses with more in them.

The contract allows two additions to responses: new properties of an object, and new values of an enum with
`x-may-grow`.
"""

from collections.abc import Iterator
from copy import deepcopy
from enum import Enum
from typing import Any

from api.contract.document.operation import Json, resolve

_STRUCTURE = {"additionalProperties", "allOf", "anyOf", "enum", "items", "oneOf", "properties", "required", "type"}
# Releases before 0.3 ended patterns with this, which meant the same in Python as $ in ECMA-262.
_OLD_END = r"$(?!\n)"
_WORDS = {"deprecated", "description", "example", "externalDocs", "title", "xml"}


class Way(Enum):
    """The direction of a value: in with a request, or out with a response."""

    IN = "in"
    OUT = "out"


def linked(document: Json) -> Json:
    """Return a copy with references replaced by their targets, and schema names as `x-name`. It may be cyclic."""
    document = deepcopy(document)
    for name, schema in document["components"].get("schemas", {}).items():
        schema.setdefault("x-name", name)
    _link(document, document)
    return document


def _link(node: Any, document: Json) -> None:
    for name, part in list(node.items() if isinstance(node, dict) else enumerate(node)):
        if isinstance(part, dict) and "$ref" in (target := _unwrapped(part)):
            node[name] = resolve(target, document)
        elif isinstance(part, dict | list):
            _link(part, document)


def _unwrapped(schema: Json) -> Json:
    """Return the reference in a schema that the published contract shows inline, or the schema itself."""
    parts = schema.get("allOf")
    return parts[0] if isinstance(parts, list) and len(parts) == 1 and "$ref" in parts[0] else schema


def schema_breaks(old: Json, new: Json, way: Way) -> Iterator[str]:
    """Yield each change of a linked schema that breaks a client, with the JSON Pointer of its place."""
    for pointer, fact in _compare(old, new, way, frozenset()):
        yield f"{pointer}: {fact}" if pointer else fact


# A JSON Pointer and the change at that place.
_Break = tuple[str, str]


def _compare(old: Json, new: Json, way: Way, above: frozenset[tuple[int, int]]) -> Iterator[_Break]:
    pair = (id(old), id(new))
    if pair in above:
        return
    narrow, wide = (old, new) if way is Way.IN else (new, old)
    if not _allows("type", narrow.get("type"), wide.get("type")):
        yield "", went("type", old, new)
        return
    yield from _changes(old, new, way)
    for name, old_part, new_part in _parts(old, new):
        for pointer, fact in _compare(old_part, new_part, way, above | {pair}):
            yield f"/{name}{pointer}", fact


def went(keyword: str, old: Json, new: Json) -> str:
    """Describe the change of a keyword."""
    return f"{keyword} went from {old.get(keyword, 'nothing')} to {new.get(keyword, 'nothing')}"


def _allows(keyword: str, narrow: Any, wide: Any) -> bool:
    """Return True if every value that passes the narrow keyword passes the wide one. None and False mean absence."""
    if keyword == "nullable":
        return bool(wide) or not narrow
    if keyword == "default":
        return bool(narrow == wide)
    if keyword == "pattern" and narrow and wide and narrow.replace(_OLD_END, "$") == wide.replace(_OLD_END, "$"):
        return True
    if narrow == wide or wide in (None, False) or (narrow, wide) == ("integer", "number"):
        return True
    bounds = isinstance(narrow, int | float) and keyword.startswith(("max", "min"))
    return bounds and (narrow <= wide if keyword.startswith("max") else narrow >= wide)


def _changes(old: Json, new: Json, way: Way) -> Iterator[_Break]:
    narrow, wide = (old, new) if way is Way.IN else (new, old)
    if "x-name" in old and old["x-name"] != new.get("x-name"):
        yield "", went("x-name", old, new)
    for keyword in sorted((old.keys() | new.keys()) - _STRUCTURE - _WORDS):
        if not keyword.startswith("x-") and not _allows(keyword, narrow.get(keyword), wide.get(keyword)):
            yield "", went(keyword, old, new)
    yield from _enum(old, new, way)
    yield from _properties(old, new, way)
    for keyword in ("allOf", "anyOf", "oneOf"):
        if len(old.get(keyword, [])) != len(new.get(keyword, [])):
            yield "", f"{keyword} has other parts"


def _enum(old: Json, new: Json, way: Way) -> Iterator[_Break]:
    narrow, wide = (old, new) if way is Way.IN else (new, old)
    if "enum" not in wide:
        return
    if "enum" not in narrow:
        yield "", went("enum", old, new)
        return
    if way is Way.OUT and old.get("x-may-grow"):
        return
    if way is Way.OUT and new.get("x-may-grow"):
        # The next release may add a value, and its contract is compared with this one only.
        yield "", "enum: it may grow from now on"
    for value in narrow["enum"]:
        if value not in wide["enum"]:
            yield "", f"enum: {value} is {'gone' if way is Way.IN else 'new'}"


def _properties(old: Json, new: Json, way: Way) -> Iterator[_Break]:
    for name in old.get("properties", {}):
        if name not in new.get("properties", {}):
            yield f"/{name}", "it is gone"
    narrow, wide = (old, new) if way is Way.IN else (new, old)
    for name in wide.get("required", []):
        if name not in narrow.get("required", []):
            yield f"/{name}", "it is required" if way is Way.IN else "it may be missing"
    if way is Way.IN and old.get("additionalProperties", True) and new.get("additionalProperties") is False:
        yield "", "other properties are refused"


def _parts(old: Json, new: Json) -> Iterator[tuple[str, Json, Json]]:
    for name, schema in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield name, schema, new["properties"][name]
    for keyword in ("additionalProperties", "items"):
        known, current = ({} if side.get(keyword) in (None, True) else side[keyword] for side in (old, new))
        if known is not False and current is not False and (known or current):
            yield "*", known, current
    for keyword in ("allOf", "anyOf", "oneOf"):
        for index, (known, current) in enumerate(zip(old.get(keyword, []), new.get(keyword, []), strict=False)):
            yield f"{keyword}/{index}", known, current
