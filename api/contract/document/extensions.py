"""The extensions of the contract: `x-scopes` and `x-body-bytes` of an operation, `x-roles` of the document."""

import re
from difflib import get_close_matches

from api.contract.document.model import Contract, ContractError, mapping
from api.contract.document.operation import Json, Operation

_KNOWN = ("x-body-bytes", "x-scopes")
_SCOPE = re.compile("[a-z]+(:[a-z]+)*")
# At most 16 MiB, because a body is buffered while it arrives. Files go to disk.
_BODY_BYTES = range(1, 16 * 1024 * 1024 + 1)
_STREAMED_BYTES = range(1, 1024**4 + 1)


def check_extensions(address: str, operation: Operation) -> None:
    """Check the extensions of an operation.

    Raises ContractError if an extension is invalid, or misspelled and would therefore be ignored.
    """
    for name in operation.definition.keys() - _KNOWN:
        if name.startswith("x-") and (meant := get_close_matches(name, _KNOWN, 1)):
            raise ContractError(f"{address}: unknown extension {name}; did you mean {meant[0]}?")
    _check_scopes(address, operation)
    _check_body_bytes(address, operation)


def _check_scopes(address: str, operation: Operation) -> None:
    if "x-scopes" not in operation.definition:
        return
    scopes = operation.scopes
    if not isinstance(scopes, list) or not scopes or not all(_SCOPE.fullmatch(str(scope)) for scope in scopes):
        raise ContractError(f"{address}: x-scopes must be a list of names, such as [profile] or [notes:write]")
    if not operation.security:
        raise ContractError(f"{address}: x-scopes requires a token, but security does not")


def check_roles(document: Json) -> None:
    """Check the roles of a document, if it has any.

    Raises ContractError if a role has a scope that no operation requires, or if an operation requires scopes that no
    role has.
    """
    if "x-roles" not in document:
        return
    needed = _operations_by_scopes(document)
    required = frozenset[str]().union(*needed)
    roles = mapping(document, "x-roles", "openapi.yaml")
    for name, scopes in roles.items():
        if not isinstance(scopes, list) or not all(str(scope) in required for scope in scopes):
            raise ContractError(f"openapi.yaml: x-roles: {name} must be a list of scopes that operations require")
    for scopes, places in needed.items():
        if not any(scopes <= set(role) for role in roles.values()):
            raise ContractError(
                f"{', '.join(places)}: x-scopes: every call would get a 403, because no role has "
                f"{' and '.join(sorted(scopes))}; add what is missing to a role in x-roles of openapi.yaml"
            )


def _operations_by_scopes(document: Json) -> dict[frozenset[str], list[str]]:
    """Return the places of the operations that require scopes, by these scopes."""
    found: dict[frozenset[str], list[str]] = {}
    for operation in Contract(document).operations():
        if operation.scopes:
            place = f"{operation.tag}.yaml: {operation.method.upper()} {operation.path}"
            found.setdefault(frozenset(operation.scopes), []).append(place)
    return found


def _check_body_bytes(address: str, operation: Operation) -> None:
    if "x-body-bytes" not in operation.definition:
        return
    size = operation.definition["x-body-bytes"]
    allowed = _STREAMED_BYTES if operation.streams else _BODY_BYTES
    if not operation.body or type(size) is not int or size not in allowed:
        raise ContractError(
            f"{address}: x-body-bytes must be an integer from 1 to {allowed[-1]} and needs a requestBody"
        )
