"""The extensions of an operation, such as `x-scopes` and `x-rate-limit`, and those of the document that name scopes."""

import re

from api.contract.document.events import check_event
from api.contract.document.faults import ContractError, Faults
from api.contract.document.features import check_feature
from api.contract.document.model import Contract
from api.contract.document.operation import Operation
from api.contract.document.rate_limits import check_rate_limit
from api.contract.document.step_up import check_step_up

_SCOPE = re.compile("[a-z]+(:[a-z]+)*")
# At most 16 MiB, because a body is buffered while it arrives. Files go to disk.
_BODY_BYTES = range(1, 16 * 1024 * 1024 + 1)
_STREAMED_BYTES = range(1, 1024**4 + 1)


def check_extensions(operation: Operation, faults: Faults) -> None:
    """Add the invalid extensions of an operation. The structure check reports misspelled ones."""
    with faults.at((*operation.pointer, "x-scopes")):
        _check_scopes(operation)
    with faults.at((*operation.pointer, "x-body-bytes")):
        _check_body_bytes(operation)
    with faults.at((*operation.pointer, "x-event")):
        check_event(operation)
    with faults.at((*operation.pointer, "x-feature")):
        check_feature(operation)
    with faults.at((*operation.pointer, "x-rate-limit")):
        check_rate_limit(operation)
    with faults.at((*operation.pointer, "x-step-up")):
        check_step_up(operation)


def _check_scopes(operation: Operation) -> None:
    if "x-scopes" not in operation.definition:
        return
    scopes = operation.scopes
    if not isinstance(scopes, list) or not scopes or not all(_SCOPE.fullmatch(str(scope)) for scope in scopes):
        raise ContractError("x-scopes must be a list of names, such as [profile] or [notes:write]")
    if not operation.security:
        raise ContractError("x-scopes requires a token, but security does not")


def check_roles(contract: Contract, faults: Faults) -> None:
    """Add each role with a scope that no operation requires, and each operation whose scopes no role has."""
    roles = contract.document.get("x-roles")
    if roles is None:
        return
    services = contract.service_scopes
    required = {scope for operation in contract.operations() for scope in _required(operation)}
    for name, scopes in roles.items():
        if unknown := [scope for scope in scopes if scope not in required]:
            faults.add(("x-roles", name), f"no operation requires the scope {unknown[0]!r} of the role {name!r}")
    for operation in contract.operations():
        holders = [*roles.values(), services]
        if operation.scopes and not any({*operation.scopes} <= {*scopes} for scopes in holders):
            message = (
                f"x-scopes: every call would get a 403, because no role has {' and '.join(sorted(operation.scopes))}; "
                "add what is missing to a role in x-roles of openapi.yaml"
            )
            faults.add((*operation.pointer, "x-scopes"), message)


def check_service_scopes(contract: Contract, faults: Faults) -> None:
    """Add each scope of services that no operation requires, and each operation of users that services could call."""
    services = contract.service_scopes
    operations = list(contract.operations())
    required = {scope for operation in operations for scope in _required(operation)}
    for scope in sorted(services - required):
        faults.add(("x-service-scopes",), f"no operation requires the scope {scope!r}")
    for operation in operations:
        if "x-step-up" in operation.definition and operation.scopes and services.issuperset(operation.scopes):
            message = "x-step-up requires a user, but x-service-scopes has all scopes of the operation"
            faults.add((*operation.pointer, "x-scopes"), message)


def _required(operation: Operation) -> set[str]:
    """Return all scopes that an operation requires, in `x-scopes` or in one of its security requirements."""
    listed = [scopes for requirement in operation.security for scopes in requirement.values()]
    return {str(scope) for scopes in [operation.scopes, *listed] for scope in scopes}


def _check_body_bytes(operation: Operation) -> None:
    if "x-body-bytes" not in operation.definition:
        return
    size = operation.definition["x-body-bytes"]
    allowed = _STREAMED_BYTES if operation.streams else _BODY_BYTES
    if not operation.body or type(size) is not int or size not in allowed:
        raise ContractError(f"x-body-bytes must be an integer from 1 to {allowed[-1]} and needs a requestBody")
