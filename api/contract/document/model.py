"""The OpenAPI document, and the error for documents that cannot be served."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from api.contract.document.faults import ContractError, Faults
from api.contract.document.operation import METHODS, Json, Operation, resolve_or_empty
from api.contract.document.sources import Sources
from api.contract.document.structure import Part

__all__ = ["Contract", "ContractError"]


@dataclass(frozen=True)
class Contract:
    """One complete OpenAPI document. The operation `getContract` publishes `document`.

    `sources` knows the file and the line of each part. `parts` are the objects that the structure check has found.
    """

    document: Json
    sources: Sources = field(default_factory=Sources, compare=False)
    parts: list[Part] = field(default_factory=list, compare=False)

    @property
    def title(self) -> str:
        """The name of the service."""
        return str(self.document["info"]["title"])

    def operations(self) -> Iterator[Operation]:
        """Yield the operations in the order of the document. Invalid ones, which are faults, are left out."""
        for path, item in _mapping(self.document.get("paths")).items():
            for method, definition in resolve_or_empty(_mapping(item), self.document).items():
                if method in METHODS and isinstance(definition, dict):
                    yield Operation(path, method, definition, self.document)

    def reject(self, faults: Faults) -> None:
        """Raise a ContractError with the places of these faults, if there are any."""
        if faults.found:
            raise ContractError(faults=self.sources.located(faults.found))

    @property
    def roles(self) -> dict[str, frozenset[str]]:
        """The scopes of each role in `x-roles`."""
        return {name: frozenset(scopes) for name, scopes in self.document.get("x-roles", {}).items()}

    @property
    def service_scopes(self) -> frozenset[str]:
        """The scopes that callers without a user can have, in `x-service-scopes`."""
        return frozenset(self.document.get("x-service-scopes", []))

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


def _mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}
