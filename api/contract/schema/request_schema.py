"""Convert schema violations to faults that name the location and the rule, never the value."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from jsonschema import ValidationError

from api.contract.document.model import Contract
from api.contract.document.operation import Json
from api.contract.schema.fault_text import one_line, pointer_inside, unknown_name
from api.contract.schema.formats import Format
from api.contract.schema.schemas import Schemas
from api.errors import Fault


class Rule(NamedTuple):
    """The code and the detail of a keyword's faults. `{0}` in the detail is replaced by the limit in the contract."""

    code: str
    detail: str


_RULES = {
    "additionalProperties": Rule("UNKNOWN", "{0}"),
    "anyOf": Rule("NOT_ALLOWED", "Must match one of the {0} alternatives in the contract."),
    "const": Rule("NOT_ALLOWED", "Must be {0}."),
    "dependentRequired": Rule("REQUIRED", "This field is required beside others."),
    "enum": Rule("NOT_ALLOWED", "Must be one of: {0}."),
    "exclusiveMaximum": Rule("TOO_LARGE", "Must be less than {0}."),
    "exclusiveMinimum": Rule("TOO_SMALL", "Must be greater than {0}."),
    "format": Rule("WRONG_FORMAT", "{0}"),
    "items": Rule("TOO_MANY", "Must have at most {0} items."),
    "maxContains": Rule("TOO_MANY", "Must have at most {0} items of the kind that the contract limits."),
    "maxItems": Rule("TOO_MANY", "Must have at most {0} items."),
    "maxLength": Rule("TOO_LONG", "Must be at most {0} characters."),
    "maxProperties": Rule("TOO_MANY", "Must have at most {0} properties."),
    "maximum": Rule("TOO_LARGE", "Must be at most {0}."),
    "minContains": Rule("TOO_FEW", "Must have at least {0} items of the kind that the contract requires."),
    "minItems": Rule("TOO_FEW", "Must have at least {0} items."),
    "minLength": Rule("TOO_SHORT", "Must be at least {0} characters."),
    "minProperties": Rule("TOO_FEW", "Must have at least {0} properties."),
    "minimum": Rule("TOO_SMALL", "Must be at least {0}."),
    "multipleOf": Rule("NOT_ALLOWED", "Must be a multiple of {0}."),
    "not": Rule("NOT_ALLOWED", "Must not match the schema that the contract excludes."),
    "oneOf": Rule("NOT_ALLOWED", "Must match exactly one of the {0} alternatives in the contract."),
    "pattern": Rule("WRONG_FORMAT", "{0}"),
    "propertyNames": Rule("NOT_ALLOWED", "The names of all properties must match the contract."),
    "readOnly": Rule("NOT_ALLOWED", "This property is read-only."),
    "required": Rule("REQUIRED", "This field is required."),
    "type": Rule("WRONG_TYPE", "Must be {0}."),
    "unevaluatedItems": Rule("TOO_MANY", "Must not have more items than the contract describes."),
    "unevaluatedProperties": Rule("UNKNOWN", "Unknown property."),
    "uniqueItems": Rule("DUPLICATE_ITEM", "Items must be unique."),
}
_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
_OF_FORMATS = {"format", "pattern"}
_OTHER = Rule("NOT_ALLOWED", "Must match the contract.")
_FORBIDDEN = Rule("NOT_ALLOWED", "The contract allows no value here.")
_ALTERNATIVES = {"anyOf", "oneOf"}
_MISSING = {"required", "dependentRequired"}


def faults_of_properties(
    contract: Contract, name: str, values: Mapping[str, Any], formats: Mapping[str, Format]
) -> list[Fault]:
    """Return the faults of some properties of the component schema `name`, for a caller that sends no request."""
    schemas = Schemas(contract.document, formats)
    properties = contract.document["components"]["schemas"][name]["properties"]
    return [
        fault
        for part, value in values.items()
        for fault in faults_of(schemas.request_validator(properties[part]).errors(value), f"/body/{part}")
    ]


def faults_of(errors: Iterable[ValidationError], pointer: str) -> list[Fault]:
    """Return the faults of a value, each once. `pointer` is the location of the value in the request."""
    pending = [(error, list(error.relative_path)) for error in errors]
    found: set[Fault] = set()
    seen = set()
    for error, steps in pending:
        likely = _likely_errors(error) if error.validator in _ALTERNATIVES else []
        # Several alternatives may contain the same error.
        if not likely:
            found |= set(_describe(error, pointer_inside(pointer, steps)))
        elif (address := (*steps, id(error.schema))) not in seen:
            seen.add(address)
            pending += [(part, [*steps, *part.relative_path]) for part in likely]
    return sorted(found)


def _describe(error: ValidationError, place: str) -> list[Fault]:
    keyword = _keyword(error)
    code, detail = _rule(keyword, error.schema)
    limit = _argument(keyword, error)
    # A file stands for a string, whose length has another unit.
    detail = detail.replace("characters", getattr(error.instance, "unit", "characters"))
    detail = one_line((_singular(detail) if limit == 1 else detail).format(limit))
    if keyword in _MISSING:
        names = cast(list[str], error.validator_value)
        return [Fault(pointer_inside(place, [name]), code, detail) for name in names]
    return [Fault(place, code, detail)]


def _likely_errors(error: ValidationError) -> list[ValidationError]:
    """Return the errors of the one alternative that the value was meant for, or nothing if that is not clear.

    A value of another type was not meant for an alternative, nor one whose members have other constants.
    """
    alternatives: dict[object, list[ValidationError]] = {}
    for part in error.context or ():
        # The error of the schema `false` has no place in the schema.
        number = next(iter(part.relative_schema_path), None)
        alternatives.setdefault(number, []).append(part)
    likely = [parts for parts in alternatives.values() if not any(map(_is_about_another, parts))]
    return likely[0] if len(likely) == 1 else []


def _is_about_another(error: ValidationError) -> bool:
    depth = len(error.relative_path)
    return (error.validator == "type" and depth == 0) or (error.validator in {"const", "enum"} and depth <= 1)


def _keyword(error: ValidationError) -> str:
    """Return the keyword of an error. In OpenAPI 3.0, `minimum` may exclude the bound itself."""
    keyword, schema = str(error.validator), error.schema
    if keyword in {"maximum", "minimum"} and isinstance(schema, dict):
        exclusive = f"exclusiveM{keyword[1:]}"
        return exclusive if schema.get(exclusive) is True else keyword
    return keyword


def _singular(detail: str) -> str:
    return (
        detail.replace("characters", "character")
        .replace("bytes", "byte")
        .replace("items", "item")
        .replace("properties", "property")
    )


def _rule(keyword: str, schema: Any) -> Rule:
    if schema is False:
        return _FORBIDDEN
    rule = _RULES.get(keyword, _OTHER)
    # The contract may give a format a more specific code. A pattern states a part of the format.
    return rule._replace(code=schema.get("x-format-code", rule.code)) if keyword in _OF_FORMATS else rule


def _argument(keyword: str, error: ValidationError) -> object:
    if keyword == "additionalProperties":
        schema = cast(Json, error.schema)
        return unknown_name("property", cast(Json, error.instance), schema.get("properties", {}))
    read = _ARGUMENTS.get(keyword)
    return error.validator_value if read is None or error.schema is False else read(error.schema)


def _description(schema: Json) -> object:
    return schema.get("description", "Must have the format that the contract requires.")


def _types(schema: Json) -> str:
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return " or ".join(_TYPES[name] for name in [*names, *(["null"] if schema.get("nullable") is True else [])])


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_ARGUMENTS: Mapping[str, Callable[[Any], object]] = {
    "anyOf": lambda schema: len(schema["anyOf"]),
    "const": lambda schema: _shown(schema["const"]),
    "enum": lambda schema: ", ".join(map(_shown, schema["enum"])),
    "format": _description,
    "items": lambda schema: len(schema.get("prefixItems", ())),
    "oneOf": lambda schema: len(schema["oneOf"]),
    "pattern": _description,
    "type": _types,
}
