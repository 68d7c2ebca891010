"""Reject a document that cannot be served. Each error names the file and the operation."""

import re
from collections.abc import Collection, Container, Iterator
from difflib import get_close_matches
from typing import Any

from api.contract.document.extensions import check_extensions, check_roles
from api.contract.document.model import Contract, ContractError, mapping
from api.contract.document.operation import Json, Operation, resolve

_SHORT = 4
_EXAMPLES = {"default", "enum", "example", "examples"}


def check(document: Json) -> None:
    """Check the references and operations of a document.

    Raises ContractError if a reference is not found or an operation cannot be served.
    """
    is_3_0 = str(document.get("openapi")).startswith("3.0")
    for address, node in _walk(document, "openapi"):
        # The schemas of OpenAPI 3.1 can also refer to anchors and addresses. The engine checks these references itself.
        if "$ref" in node and (is_3_0 or str(node["$ref"]).startswith("#/")):
            _check_reference(address, node, document)
    operations = list(Contract(document).operations())
    names = {str(operation.definition.get("operationId")) for operation in operations}
    seen: dict[str, str] = {}
    for operation in operations:
        address = f"{operation.tag}.yaml: {operation.method.upper()} {operation.path}"
        _check_name(address, operation.definition)
        if seen.setdefault(operation.id, address) != address:
            raise ContractError(
                f"{address}: the operationId {operation.id!r} is already in use by {seen[operation.id]}"
            )
        _check_security(address, operation)
        check_extensions(address, operation)
        _check_responses(address, mapping(operation.definition, "responses", address))
        _check_parameters(address, _parameters(address, operation))
        _check_links(address, operation, names)
    check_roles(document)


def check_formats(document: Json, known: Collection[str]) -> None:
    """Raise ContractError if a `format` is unknown and resembles a known one. Other unknown formats are not checked."""
    # Short names resemble each other by chance.
    candidates = [name for name in known if len(name) > _SHORT]
    for address, node in _walk(document, "openapi"):
        name = node.get("format")
        if isinstance(name, str) and name not in known and (nearest := get_close_matches(name, candidates, 1, 0.85)):
            raise ContractError(f"{address}: unknown format {name!r}; did you mean {nearest[0]!r}?")


def _walk(node: Any, address: str) -> Iterator[tuple[str, Json]]:
    if isinstance(node, dict):
        yield address, node
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, part in parts:
        # Examples are data, not parts of the contract.
        if name not in _EXAMPLES or address.endswith(" > properties"):
            yield from _walk(part, f"{address} > {name}")


def _check_reference(address: str, node: Json, document: Json) -> None:
    try:
        target = resolve(node, document)
    except KeyError:
        raise ContractError(f"{address}: reference {node['$ref']!r} not found") from None
    if "$ref" in target:
        raise ContractError(f"{address}: circular reference {node['$ref']!r}")


def _check_name(address: str, operation: Json) -> None:
    if not str(operation.get("operationId", "")).isidentifier():
        raise ContractError(f"{address}: operationId must be an identifier, such as addNote")


def _check_security(address: str, operation: Operation) -> None:
    if not isinstance(operation.security, list):
        raise ContractError(f"{address}: security must be a list")


def _check_responses(address: str, responses: Json) -> None:
    for status in responses:
        mapping(responses, status, address)
        if not re.fullmatch("[1-5]([0-9]{2}|XX)|default", status):
            raise ContractError(f"{address}: {status!r} is not a three-digit status, a range such as 2XX, or default")
        if not {"$ref", "description"} & responses[status].keys():
            raise ContractError(f"{address}: the response {status} must have a description")


def _check_links(address: str, operation: Operation, names: Container[Any]) -> None:
    for response in operation.responses.values():
        for name, link in response.get("links", {}).items():
            if str(resolve(link, operation.document).get("operationId")) not in names:
                raise ContractError(f"{address}: operation of the link {name!r} not found")


def _parameters(address: str, operation: Operation) -> list[Json]:
    definitions = operation.definition.get("parameters", [])
    if not isinstance(definitions, list) or not all(isinstance(definition, dict) for definition in definitions):
        raise ContractError(f"{address}: parameters must be a list of mappings")
    return [resolve(definition, operation.document) for definition in definitions]


def _check_parameters(address: str, definitions: list[Json]) -> None:
    places = [(definition.get("in"), definition.get("name")) for definition in definitions]
    for place, name in places:
        if places.count((place, name)) > 1:
            raise ContractError(f"{address}: duplicate parameter {name!r}")
