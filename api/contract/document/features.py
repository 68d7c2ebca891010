"""The features that a server can switch off: the extension `x-feature`."""

import re
from collections.abc import Mapping
from dataclasses import replace

from api.contract.document.faults import ContractError, Faults
from api.contract.document.model import Contract
from api.contract.document.operation import Operation

_FIELD, _OFF = "x-feature", "x-switched-off"
_NAME = re.compile("[a-z]+(-[a-z]+)*")


def check_feature(operation: Operation) -> None:
    """Raise ContractError if `x-feature` of an operation is not a name."""
    if _FIELD in operation.definition and not _NAME.fullmatch(str(operation.feature)):
        raise ContractError("x-feature must consist of small letters, such as open-sign-up")


def with_features(contract: Contract, features: Mapping[str, bool]) -> Contract:
    """Return the contract in which the operations of features that are off are marked.

    Raises ContractError if an operation has a feature that is not listed.
    """
    faults, paths = Faults(), dict(contract.document["paths"])
    for operation in contract.operations():
        if operation.feature is None or features.get(operation.feature):
            continue
        if operation.feature not in features:
            known = ", ".join(sorted(features)) or "none"
            message = f"unknown feature {operation.feature!r}; the application has {known}"
            faults.add((*operation.pointer, _FIELD), message)
        paths[operation.path] = {
            **paths[operation.path],
            operation.method: operation.definition | {_OFF: True},
        }
    contract.reject(faults)
    return replace(contract, document=contract.document | {"paths": paths})


def described(operation: Operation) -> str:
    """Return a sentence about the feature of an operation, for the documentation page."""
    if operation.is_switched_off:
        return f"This server has switched the feature `{operation.feature}` off. Each request gets a 403."
    return f"This is the feature `{operation.feature}`. A server that has switched it off returns a 403."
