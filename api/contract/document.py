"""One OpenAPI document, and why one cannot be served."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})

Json = dict[str, Any]


class ContractError(Exception):
    """The document cannot be served as it stands; the process refuses to start."""


@dataclass(frozen=True)
class Contract:
    """One OpenAPI document, whole: `document` is what `getContract` publishes."""

    document: Json

    @property
    def title(self) -> str:
        """The name of the service."""
        return str(self.document["info"]["title"])

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """Each operation as (path, method in lower case, operation object), in the order of the document."""
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield path, method, operation

    def scopes_of(self, role: str) -> frozenset[str]:
        """What a role may do, by `x-roles`; nothing that is not said there."""
        return frozenset(self.document.get("x-roles", {}).get(role, ()))

    def executable(self, handlers: str) -> "Contract":
        """A copy that says in Connexion's words what ours says in others.

        Of each operation it names the module that serves it, its tag's in the package `handlers`, and it has the scopes
        in the security, where OpenAPI 3.0.3 allows a scheme of the type http none.
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
    """The member `name`, which must be a mapping."""
    value = node.get(name)
    if not isinstance(value, dict):
        raise ContractError(f"{address}: {name} must be a mapping")
    return value


def security_of(operation: Json, document: Json) -> Any:
    """What an operation requires of who calls it: its own word, or else the document's."""
    return operation.get("security", document.get("security", []))


def success(operation: Json) -> str:
    """The one 2xx status that the operation declares."""
    (status,) = (status for status in operation["responses"] if status.startswith("2"))
    return str(status)


def resolve(node: Json, document: Json) -> Json:
    """What stands behind the node's `$ref`, or the node itself; raises KeyError when there is nothing."""
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
