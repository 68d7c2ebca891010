"""The rules for all strings, which a document states once in `x-shared`."""

from typing import Any

from api.contract.document.faults import ContractError
from api.contract.document.objects import DATA
from api.contract.document.operation import Json

_RULES = {"maxLength": int, "pattern": str}


def apply_string_rules(document: Json) -> None:
    """Copy the rules in `x-shared.strings` into each schema of strings that has no rule of its own.

    The merged document is complete, so clients and fuzzers see the rules. A string with a fixed set of values keeps
    it, and one with a `format` gets only the maximum length. Content in binary gets neither.
    Raises ContractError if a rule is unknown or has a wrong type.
    """
    shared = document.get("x-shared", {})
    rules = shared.get("strings", {}) if isinstance(shared, dict) else {}
    if not isinstance(rules, dict) or not all(type(rule) is _RULES.get(name) for name, rule in rules.items()):
        raise ContractError("x-shared: strings must have the members maxLength and pattern, or one of them")
    if rules:
        _apply(rules, document)


def _apply(rules: Json, node: Any, name: str = "") -> None:
    if isinstance(node, list):
        for item in node:
            _apply(rules, item)
    elif isinstance(node, dict):
        # In `properties`, a name such as `type` is that of a property.
        if name != "properties" and _is_open_string(node):
            _state(rules, node)
        for key, part in node.items():
            if name == "properties" or key not in DATA:
                _apply(rules, part, key if name != "properties" else "")


def _is_open_string(schema: Json) -> bool:
    kinds = schema.get("type")
    is_string = kinds == "string" or (isinstance(kinds, list) and "string" in kinds)
    return is_string and not schema.keys() & {"const", "enum"} and schema.get("format") != "binary"


def _state(rules: Json, schema: Json) -> None:
    if "maxLength" in rules:
        # A minimum above the common maximum needs a maximum of its own.
        schema.setdefault("maxLength", max(rules["maxLength"], schema.get("minLength", 0)))
    if "pattern" in rules and "format" not in schema:
        schema.setdefault("pattern", rules["pattern"])
