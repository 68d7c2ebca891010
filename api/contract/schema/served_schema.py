"""The check that a schema can be served: its patterns, its references and its dialect."""

from typing import Any

from referencing.exceptions import Unresolvable

from api.contract.document.model import ContractError
from api.contract.schema.keywords import subschema, target
from api.contract.schema.patterns import compile_pattern

_DIALECTS = {"https://json-schema.org/draft/2020-12/schema", "https://spec.openapis.org/oas/3.1/dialect/base"}
_REFERENCES = ("$ref", "$dynamicRef")


def check_schema(validator: Any, checked: set[int]) -> None:
    """Check a schema and all schemas in it. `checked` holds the ids of the schemas that have passed.

    Raises ContractError if a schema cannot be served.
    """
    passed: set[int] = set()
    pending = [validator]
    while pending:
        part = pending.pop()
        schema = part.schema
        if not isinstance(schema, dict) or id(schema) in checked or id(schema) in passed:
            continue
        passed.add(id(schema))
        if not part.NULLABLE:
            _check_dialect(schema)
        _check_patterns(schema)
        pending += [_target(part, schema[name]) for name in _REFERENCES if name in schema]
        if part.NULLABLE and "$ref" in schema:
            # OpenAPI 3.0 ignores all that stands beside a reference.
            continue
        pending += [subschema(part, inner) for inner in part.SPECIFICATION.subresources_of(schema)]
    checked |= passed


def _check_dialect(schema: dict[str, Any]) -> None:
    name = schema.get("$schema")
    if isinstance(name, str) and name.rstrip("#") not in _DIALECTS:
        raise ContractError(f"the dialect {name!r} is not supported; use JSON Schema 2020-12")


def _check_patterns(schema: dict[str, Any]) -> None:
    for pattern in (*([schema["pattern"]] if "pattern" in schema else []), *schema.get("patternProperties", ())):
        try:
            compile_pattern(pattern)
        except ValueError as error:
            raise ContractError(str(error)) from None


def _target(validator: Any, reference: str) -> Any:
    try:
        return target(validator, reference)
    except Unresolvable:
        raise ContractError(f"reference {reference!r} not found") from None
