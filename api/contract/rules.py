"""The rules of a contract beyond what can be served: examples, limits, names, links, errors and scopes.

A broken rule does not prevent a start. `charter check` fails on it, and docs/contract-rules.md explains each one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from api.contract.document.faults import ContractError, ContractFault, Faults, Pointer
from api.contract.document.model import Contract
from api.contract.document.operation import Json, Operation, object_of, resolve
from api.contract.document.structure import Part
from api.contract.document.uses import Uses, is_in
from api.contract.schema.formats import DESCRIPTIONS, Format
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas

_CAMEL_CASE = re.compile("[a-z]+([A-Z][a-z0-9]+)*")
# The engine itself sends these errors for any operation, and the second group to callers without a valid token.
_ERRORS = ("400", "408", "413", "431", "500")
_ERRORS_WITH_SECURITY = ("401", "503")
_SAFE = {"get", "head", "options", "trace"}
_BOUNDS = {"maximum", "minimum"}


def broken_rules(
    contract: Contract, formats: Mapping[str, Format], administrator: str | None = None
) -> list[ContractFault]:
    """Return the rules that a loaded contract breaks, with their places.

    `administrator` is the role that manages the users of all roles, if there is one.
    """
    faults = Faults()
    parts = [part for part in contract.parts if not {"callbacks", "webhooks"} & set(part.pointer)]
    linked = _linked(contract)
    for operation in contract.operations():
        _check_operation(operation, linked, faults)
    for tag in contract.document.get("tags", []):
        if not tag.get("description"):
            faults.add(("tags", contract.document["tags"].index(tag)), f"the tag {tag['name']!r} needs a description")
    if administrator is not None:
        _check_administrator(contract, administrator, faults)
    _check_examples(parts, contract.document, faults)
    _check_values(parts, Schemas(contract.document, formats), faults)
    _check_request_schemas(contract, parts, faults)
    _check_patterns(parts, faults)
    _check_references(parts, faults)
    return contract.sources.located(faults.found)


def _check_administrator(contract: Contract, role: str, faults: Faults) -> None:
    needed = {scope for scopes in contract.roles.values() for scope in scopes}
    if missing := sorted(needed - contract.roles.get(role, frozenset())):
        lacking = f"the role {role!r} lacks {' and '.join(missing)}"
        faults.add(("x-roles", role), f"{lacking}, so it cannot manage users whose role has them")


def _linked(contract: Contract) -> set[tuple[str, str]]:
    """Return the parameters that a link supplies, as pairs of operationId and name."""
    return {
        (str(target.get("operationId")), name.partition(".")[2] or name)
        for operation in contract.operations()
        for response in operation.responses.values()
        for link in response.get("links", {}).values()
        if (target := resolve(link, contract.document))
        for name in target.get("parameters", {})
    }


def _check_operation(operation: Operation, linked: set[tuple[str, str]], faults: Faults) -> None:
    pointer, definition = operation.pointer, operation.definition
    if not _CAMEL_CASE.fullmatch(operation.id):
        faults.add((*pointer, "operationId"), f"write the operationId {operation.id!r} in camel case, such as addNote")
    for name in ("summary", "description"):
        if not definition.get(name):
            faults.add(pointer, f"the operation needs a {name}")
    if not operation.security and "x-rate-limit" not in definition:
        message = "an operation without security needs x-rate-limit: policies, or a sentence that says why none"
        faults.add(pointer, message)
    if "x-events" in operation.document and operation.method not in _SAFE and "x-event" not in definition:
        faults.add(pointer, "an operation that is not GET needs x-event: events, or a sentence that says why none")
    needed = [*_ERRORS, *(_ERRORS_WITH_SECURITY if operation.security else ())]
    if missing := [status for status in needed if not _declares(operation, status)]:
        faults.add((*pointer, "responses"), f"declare the errors {', '.join(missing)}, best for all in x-shared")
    for parameter in operation.parameters:
        is_linked = (operation.id, parameter["name"]) in linked
        with faults.at(pointer, operation.document):
            if parameter["in"] == "path" and not is_linked:
                message = f"no link supplies the path parameter {parameter['name']!r}, so tests cannot find a resource"
                raise ContractError(message, at=parameter)
        with faults.at(pointer, operation.document):
            if not is_linked and not _examples(parameter):
                message = f"the parameter {parameter['name']!r} needs an example, beside its schema"
                raise ContractError(message, at=parameter)


def _declares(operation: Operation, status: str) -> bool:
    return bool({status, f"{status[0]}XX", "default"} & operation.responses.keys())


def _check_examples(parts: list[Part], document: Json, faults: Faults) -> None:
    for pointer, kind, node in parts:
        if kind == "MediaType" and not _examples(node) and not _is_file(node, document):
            faults.add(pointer, f"the body {pointer[-1]} needs an example")
        elif kind == "Header" and not _examples(node) and "example" not in node.get("schema", {}):
            faults.add(pointer, f"the header {pointer[-1]!r} needs an example")


def _is_file(media: Json, document: Json) -> bool:
    """Return True for a body of bytes, which YAML cannot express."""
    schema: Json = resolve(object_of(media.get("schema", {})), document)
    return schema.get("format") == "binary"


def _examples(node: Json) -> bool:
    return bool({"example", "examples", "content"} & node.keys())


def _check_values(parts: list[Part], schemas: Schemas, faults: Faults) -> None:
    """Check that each example and each default fits its schema."""
    for pointer, kind, node in parts:
        schema = node if kind == "Schema" else node.get("schema")
        if kind not in {"Header", "MediaType", "Parameter", "Schema"} or not isinstance(schema, dict):
            continue
        for place, value in _values(pointer, node, schemas):
            errors = schemas.response_validator(schema).errors(value)
            if errors and (requested := schemas.request_validator(schema).errors(value)):
                fault = faults_of(requested, "")[0]
                at = f" at {fault.pointer}" if fault.pointer else ""
                faults.add(place, f"the {place[-1]} does not fit its schema{at}: {fault.detail}")


def _values(pointer: Pointer, node: Json, schemas: Schemas) -> Iterator[tuple[Pointer, Any]]:
    yield from (((*pointer, name), node[name]) for name in ("example", "default") if name in node)
    examples = node.get("examples", {})
    if isinstance(examples, list):
        yield from (((*pointer, "examples"), value) for value in examples)
        return
    for name, example in examples.items():
        found = schemas.resolve(example)
        if "value" in found:
            yield (*pointer, "examples", name), found["value"]


def _check_request_schemas(contract: Contract, parts: list[Part], faults: Faults) -> None:
    """Check that the schemas of request bodies accept only what they name, within limits."""
    uses, requested, sent = Uses(contract), set[Pointer](), set[Pointer]()
    for operation in contract.operations():
        sent |= uses.referenced({"parameters": operation.parameters}) | {(*operation.pointer, "parameters")}
        if operation.body is not None:
            requested |= uses.referenced(operation.definition["requestBody"])
            requested.add((*operation.pointer, "requestBody"))
    for pointer, kind, node in parts:
        if kind == "Schema" and is_in(pointer, requested):
            for message in _limits(node):
                faults.add(pointer, message)
        if kind == "Schema" and is_in(pointer, requested | sent) and not _explains_itself(node):
            message = "the description of a format or pattern in a request begins with 'Must', because errors quote it"
            faults.add(pointer, message)


def _limits(schema: Json) -> Iterator[str]:
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    others = schema.get("additionalProperties", schema.get("unevaluatedProperties", True))
    if "object" in types and others is True:
        yield "an object in a request needs additionalProperties: false"
    if "object" in types and isinstance(others, dict) and "maxProperties" not in schema:
        yield "a map in a request needs maxProperties"
    if "array" in types and "maxItems" not in schema:
        yield "a list in a request needs maxItems"
    if "string" in types and not {"maxLength", "enum", "const"} & schema.keys():
        yield "a string in a request needs maxLength"
    if "integer" in types and not ({"format", "enum", "const"} & schema.keys() or schema.keys() >= _BOUNDS):
        yield "an integer in a request needs a format, such as int64, or minimum and maximum"


def _explains_itself(schema: Json) -> bool:
    # Errors have a message of their own for NUL.
    is_checked = (
        schema.get("format", "binary") not in DESCRIPTIONS or schema.get("pattern", r"^[^\x00]*$") != r"^[^\x00]*$"
    )
    return schema.get("type") != "string" or not is_checked or str(schema.get("description")).startswith("Must ")


def _check_patterns(parts: list[Part], faults: Faults) -> None:
    for pointer, kind, node in parts:
        pattern = node.get("pattern", "^$")
        if kind == "Schema" and not (pattern.startswith("^") and pattern.removesuffix(r"(?!\n)").endswith("$")):
            faults.add((*pointer, "pattern"), f"the pattern {pattern!r} must begin with ^ and end with $")


def _check_references(parts: list[Part], faults: Faults) -> None:
    """Check that no `$ref` of OpenAPI 3.0 stands beside a keyword that would hide a member."""
    for pointer, kind, node in parts:
        for name in ("readOnly", "writeOnly") if kind == "Reference" else ():
            if node.get(name) is True:
                faults.add((*pointer, name), f"OpenAPI 3.0 ignores {name} beside $ref; put the $ref into allOf")
