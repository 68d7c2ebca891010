"""The check that a schema can be served: its patterns, its references and its dialect, and that it has an end."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from referencing.exceptions import Unresolvable

from api.contract.document.json_text import MAX_DEPTH
from api.contract.document.model import ContractError
from api.contract.document.operation import Json
from api.contract.schema.keywords import subschema, target
from api.contract.schema.patterns import compile_pattern

_DIALECTS = {"https://json-schema.org/draft/2020-12/schema", "https://spec.openapis.org/oas/3.1/dialect/base"}
_REFERENCES = ("$ref", "$dynamicRef")


class _Passed(NamedTuple):
    """A schema that has passed, and the number of schemas one inside the other that apply to the same value."""

    schema: Any
    depth: int


class SchemaCheck:
    """The check of the schemas of one document, each once."""

    def __init__(self) -> None:
        self._passed: dict[int, _Passed] = {}
        self._failed: dict[int, tuple[Any, ContractError]] = {}

    def check(self, validator: Any) -> None:
        """Check a schema and all schemas in it. Raises ContractError if a schema cannot be served."""
        found: dict[int, Any] = {}
        applied: dict[int, list[int]] = {}
        # Each schema has the one that led to it.
        origins: dict[int, int] = {}
        pending = [(validator, 0)]
        while pending:
            part, origin = pending.pop()
            schema = part.schema
            if not isinstance(schema, dict) or id(schema) in self._passed or id(schema) in found:
                continue
            found[id(schema)], origins[id(schema)] = schema, origin
            try:
                targets, inner = self._visit(part)
            except ContractError as error:
                self._fail(id(schema), error, found, origins)
                raise
            pending += [(other, id(schema)) for other in [*targets, *inner]]
            applied[id(schema)] = [id(target.schema) for target in targets]
            applied[id(schema)] += map(id, _in_place(schema)) if inner else ()
        _check_depth(found, applied, self._passed)

    def _visit(self, part: Any) -> tuple[list[Any], list[Any]]:
        """Return the targets of a schema's references, and the schemas in it."""
        schema = part.schema
        if id(schema) in self._failed:
            raise self._failed[id(schema)][1]
        if not part.NULLABLE:
            _check_dialect(schema)
        _check_patterns(schema)
        targets = [_target(part, schema[name]) for name in _REFERENCES if name in schema]
        # OpenAPI 3.0 ignores all that stands beside a reference.
        inner = () if part.NULLABLE and targets else part.SPECIFICATION.subresources_of(schema)
        return targets, [subschema(part, schema) for schema in inner]

    def _fail(self, part: int, error: ContractError, found: dict[int, Any], origins: dict[int, int]) -> None:
        """Store the error of a schema for the schemas that lead to it."""
        while part:
            self._failed[part] = found[part], error
            part = origins[part]


def _in_place(schema: Json) -> Iterator[Any]:
    """Yield the schemas in another one that apply to the same value."""
    for name in ("allOf", "anyOf", "oneOf"):
        yield from schema.get(name, ())
    yield from (schema[name] for name in ("not", "if", "then", "else") if name in schema)
    yield from schema.get("dependentSchemas", {}).values()


def _check_depth(found: dict[int, Any], applied: dict[int, list[int]], checked: dict[int, _Passed]) -> None:
    """Check that the schemas that apply to the same value end, at a depth at which Python can follow them."""
    try:
        order = [*TopologicalSorter(applied).static_order()]
    except CycleError as error:
        schema = next(found[part] for part in error.args[1] if part in found)
        raise ContractError("the schema applies itself to the same value without end", at=schema) from None
    for part in order:
        if part in found:
            depth = 1 + max((checked[inner].depth for inner in applied[part] if inner in checked), default=0)
            if depth > MAX_DEPTH:
                message = f"more than {MAX_DEPTH} schemas, one inside the other, apply to the same value"
                raise ContractError(message, at=found[part])
            checked[part] = _Passed(found[part], depth)


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
