"""The prefixes of bearer credentials: the extension `x-prefix` of a security scheme, which separates API keys
from tokens.

A scheme with a prefix gets the credentials that begin with it. A scheme without one gets all others.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

from api.contract.document.faults import ContractError, Faults
from api.contract.document.model import Contract
from api.contract.document.operation import Json, Operation, resolve_or_empty

_FIELD = "x-prefix"
# RFC 6750, section 2.1.
_PREFIX = re.compile("[A-Za-z0-9._~+/-]+")


def prefixes_of(document: Json) -> tuple[str, ...]:
    """Return the prefixes of all security schemes."""
    return tuple(scheme[_FIELD] for scheme in _schemes(document).values() if _FIELD in scheme)


def check_prefixes(contract: Contract, faults: Faults) -> None:
    """Add each invalid `x-prefix`, and each operation that requires two bearer credentials in one header."""
    schemes = _schemes(contract.document)
    for name, scheme in schemes.items():
        if _FIELD in scheme and not (_is_bearer(scheme) and _PREFIX.fullmatch(scheme[_FIELD])):
            message = "x-prefix must be the first characters of a bearer credential, such as charter_key_"
            faults.add(("components", "securitySchemes", name), message)
    for longer, shorter in permutations(prefixes_of(contract.document), 2):
        if longer.startswith(shorter):
            faults.add(("components",), f"x-prefix: {longer!r} begins with {shorter!r}, the prefix of another scheme")
    for operation in contract.operations():
        if _has_two(operation, schemes):
            faults.add(operation.pointer, "security: one request cannot carry two bearer credentials")


def with_prefixes(contract: Contract, prefixes: Mapping[str, str]) -> Contract:
    """Return the contract in which the security schemes of these names have other prefixes.

    Raises ContractError if a scheme is unknown or has no prefix.
    """
    schemes = dict(contract.document.get("components", {}).get("securitySchemes", {}))
    for name, prefix in prefixes.items():
        if _FIELD not in schemes.get(name, {}):
            raise ContractError(f"the security scheme {name!r} has no x-prefix")
        schemes[name] = schemes[name] | {_FIELD: prefix}
    components = contract.document.get("components", {}) | {"securitySchemes": schemes}
    return replace(contract, document=contract.document | {"components": components})


def _schemes(document: Json) -> dict[str, Json]:
    schemes = document.get("components", {}).get("securitySchemes", {})
    return {name: resolve_or_empty(scheme, document) for name, scheme in schemes.items()}


def _is_bearer(scheme: Json) -> bool:
    return scheme.get("type") == "http" and str(scheme.get("scheme")).lower() == "bearer"


def _has_two(operation: Operation, schemes: Mapping[str, Json]) -> bool:
    """Return True if a requirement has a bearer scheme with a prefix beside another bearer scheme."""
    for requirement in operation.security:
        bearers = [schemes[name] for name in requirement if _is_bearer(schemes.get(name, {}))]
        if len(bearers) > 1 and any(_FIELD in scheme for scheme in bearers):
            return True
    return False
