"""The parts of a document that an operation uses, which tell whether a fault affects it."""

from collections.abc import Iterator, Set
from typing import Any

from api.contract.document.faults import ContractFault, Pointer
from api.contract.document.model import Contract
from api.contract.document.operation import METHODS, Json, Operation, resolve, steps_of


def _resolved(node: Json, document: Json) -> Json:
    try:
        return resolve(node, document)
    except KeyError:
        return {}


class Uses:
    """The parts of a document that each operation uses, directly or through references."""

    def __init__(self, contract: Contract) -> None:
        self._document = contract.document
        self._direct: dict[str, set[str]] = {}

    def of(self, operation: Operation) -> set[Pointer]:
        """Return the pointers of the parts that an operation uses, and its own."""
        item = self._document["paths"][operation.path]
        shared = {name: part for name, part in item.items() if name not in METHODS}
        parts = self.referenced(operation.definition) | self.referenced(shared)
        return parts | {operation.pointer} | {("paths", operation.path, name) for name in shared}

    def referenced(self, node: Json) -> set[Pointer]:
        """Return the pointers of the parts that an object refers to, directly or through others."""
        pending = [*_references(node)]
        seen: set[str] = set()
        while pending:
            reference = pending.pop()
            if reference not in seen:
                seen.add(reference)
                pending += self._inside(reference)
        return {tuple(steps_of(reference, self._document)) for reference in seen}

    def faults_of(self, operation: Operation, faults: list[ContractFault]) -> list[ContractFault]:
        """Return the faults that affect an operation: those in parts that it uses, and those of the whole document."""
        parts = self.of(operation)
        return [fault for fault in faults if _concerns_all(fault.pointer or ()) or is_in(fault.pointer or (), parts)]

    def _inside(self, reference: str) -> set[str]:
        if reference not in self._direct:
            self._direct[reference] = set(_references(_resolved({"$ref": reference}, self._document)))
        return self._direct[reference]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _references(part)


def _concerns_all(pointer: Pointer) -> bool:
    return pointer[:1] not in {("paths",), ("components",), ("webhooks",)}


def is_in(pointer: Pointer, parts: Set[Pointer]) -> bool:
    """Return True if a pointer is that of one of these parts, or of something inside one."""
    return any(pointer[:length] in parts for length in range(len(pointer) + 1))
