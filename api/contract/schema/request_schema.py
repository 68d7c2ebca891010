"""Convert schema violations to faults that name the location and the rule, never the value."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from jsonschema import ValidationError

from api.contract.document.model import Contract
from api.contract.document.operation import Json
from api.contract.schema.formats import Format
from api.contract.schema.schemas import Schemas
from api.errors import Fault


class Rule(NamedTuple):
    """The code and the detail of a keyword's faults. `{0}` in the detail is replaced by the limit in the contract."""

    code: str
    detail: str


_RULES = {
    "additionalProperties": Rule("UNKNOWN", "Unknown property. Allowed: {0}."),
    "enum": Rule("NOT_ALLOWED", "Must be one of: {0}."),
    "format": Rule("WRONG_FORMAT", "{0}"),
    "maxItems": Rule("TOO_MANY", "Must have at most {0} items."),
    "maxLength": Rule("TOO_LONG", "Must be at most {0} characters."),
    "maximum": Rule("TOO_LARGE", "Must be at most {0}."),
    "minItems": Rule("TOO_FEW", "Must have at least {0} items."),
    "minLength": Rule("TOO_SHORT", "Must be at least {0} characters."),
    "minimum": Rule("TOO_SMALL", "Must be at least {0}."),
    "pattern": Rule("WRONG_FORMAT", "{0}"),
    "required": Rule("REQUIRED", "This field is required."),
    "type": Rule("WRONG_TYPE", "Must be {0}."),
    "uniqueItems": Rule("DUPLICATE_ITEM", "Items must be unique."),
}
_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
_OF_FORMATS = {"format", "pattern"}
_OTHER = Rule("NOT_ALLOWED", "Must match the contract.")


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
    return sorted({fault for error in errors for fault in _describe(error, pointer)})


def _describe(error: ValidationError, pointer: str) -> Iterable[Fault]:
    keyword = str(error.validator)
    place = pointer + "".join(f"/{_escape(step)}" for step in error.absolute_path)
    code, detail = _rule(keyword, error.schema)
    limit = _argument(keyword, error)
    detail = (_singular(detail) if limit == 1 else detail).format(limit)
    if keyword == "required":
        missing = [name for name in cast(list[str], error.validator_value) if name not in cast(Json, error.instance)]
        return [Fault(f"{place}/{_escape(name)}", code, detail) for name in missing]
    return [Fault(place, code, detail)]


def _singular(detail: str) -> str:
    return detail.replace("characters", "character").replace("items", "item")


def _rule(keyword: str, schema: Any) -> Rule:
    rule = _RULES.get(keyword, _OTHER)
    # The contract may give a format a more specific code. A pattern states a part of the format.
    return rule._replace(code=schema.get("x-format-code", rule.code)) if keyword in _OF_FORMATS else rule


def _argument(keyword: str, error: ValidationError) -> object:
    schema: Any = error.schema
    if keyword in _OF_FORMATS:
        return schema.get("description", "Must have the format that the contract requires.")
    if keyword == "type":
        return _TYPES[schema["type"]]
    if keyword == "additionalProperties":
        return ", ".join(schema.get("properties", {})) or "none"
    if keyword == "enum":
        return ", ".join(map(str, schema["enum"]))
    return error.validator_value


def _escape(step: object) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")
