"""The OpenAPI document, and the error for documents that cannot be served."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})

Json = dict[str, Any]


class ContractError(Exception):
    """The document cannot be served, so the process does not start."""


@dataclass(frozen=True)
class Contract:
    """One complete OpenAPI document. The operation `getContract` publishes `document`."""

    document: Json

    @property
    def title(self) -> str:
        """The name of the service."""
        return str(self.document["info"]["title"])

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """Yield each operation as (path, method in lower case, operation object), in the order of the document."""
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield path, method, operation

    def scopes_of(self, role: str) -> frozenset[str]:
        """Return the scopes of a role in `x-roles`. An unknown role has no scopes."""
        return frozenset(self.document.get("x-roles", {}).get(role, ()))

    def executable(self, handlers: str) -> "Contract":
        """Return a copy in the form that Connexion expects.

        Each operation names the module of its tag in the package `handlers`. Its `x-scopes` are copied into `security`,
        where OpenAPI 3.0.3 does not allow scopes for a scheme of the type http.
        """
        copy = Contract(deepcopy(self.document))
        for _, _, operation in copy.operations():
            operation["x-openapi-router-controller"] = f"{handlers}.{operation['tags'][0]}"
            operation["security"] = [
                dict.fromkeys(requirement, operation.get("x-scopes", []))
                for requirement in security_of(operation, copy.document)
            ]
        return copy


def mapping(node: Json, name: str, address: str) -> Json:
    """Return the member `name` of a node. Raises ContractError if it is not a mapping."""
    value = node.get(name)
    if not isinstance(value, dict):
        raise ContractError(f"{address}: {name} must be a mapping")
    return value


def security_of(operation: Json, document: Json) -> Any:
    """Return the security requirements of an operation, or else those of the document."""
    return operation.get("security", document.get("security", []))


def success(operation: Json) -> str:
    """Return the one 2xx status that the operation declares."""
    (status,) = (status for status in operation["responses"] if status.startswith("2"))
    return str(status)


def resolve(node: Json, document: Json) -> Json:
    """Return the target of the node's `$ref`, or the node itself if it has none.

    The target of a circular reference still has a `$ref`. Raises KeyError if the target is not found.
    """
    seen: list[str] = []
    while "$ref" in node and node["$ref"] not in seen:
        seen.append(node["$ref"])
        node = _target(node["$ref"], document)
    return node


def _target(reference: Any, document: Json) -> Json:
    root, *steps = str(reference).split("/")
    target: Any = document if root == "#" else None
    for step in steps:
        target = target.get(step) if isinstance(target, dict) else None
    if not isinstance(target, dict):
        raise KeyError(reference)
    return target
