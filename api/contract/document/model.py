"""The OpenAPI document, and the error for documents that cannot be served."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from api.contract.document.operation import METHODS, Json, Operation


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

    def operations(self) -> Iterator[Operation]:
        """Yield the operations in the order of the document."""
        for path, item in self.document["paths"].items():
            for method, definition in item.items():
                if method in METHODS:
                    yield Operation(path, method, definition, self.document)

    def scopes_of(self, role: str) -> frozenset[str]:
        """Return the scopes of a role in `x-roles`. An unknown role has no scopes."""
        return frozenset(self.document.get("x-roles", {}).get(role, ()))

    def served_by(self, handlers: str) -> dict[str, Operation]:
        """Return the operations by the ids that Connexion gives them for the package `handlers`."""
        return {operation.address(handlers): operation for operation in self.operations()}

    def skeleton(self, handlers: str) -> Json:
        """Return the part of the document that Connexion reads: the paths and the handlers.

        Charter reads all other parts itself. Each operation names the module of its tag in the package `handlers`.
        """
        paths: Json = {}
        for operation in self.operations():
            paths.setdefault(_with_identifiers(operation.route), {})[operation.method] = {
                "operationId": operation.id,
                "x-openapi-router-controller": f"{handlers}.{operation.tag}",
                "responses": {"default": {"description": "Connexion requires a response."}},
            }
        return {
            "openapi": "3.0.3",
            "info": {"title": self.title, "version": "1"},
            "paths": paths,
        }


def _with_identifiers(route: str) -> str:
    """Return the path with identifiers as placeholders, because Connexion makes rules of Flask from them."""
    return re.sub("{[^{}]*}", lambda found: "{" + re.sub(r"\W", "_", found[0][1:-1]) + "}", route)


def mapping(node: Json, name: str, address: str) -> Json:
    """Return the member `name` of a node. Raises ContractError if it is not a mapping."""
    value = node.get(name)
    if not isinstance(value, dict):
        raise ContractError(f"{address}: {name} must be a mapping")
    return value
