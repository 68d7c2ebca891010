"""The parts of a document that each operation uses. A fault in one of them affects the operation."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from typing import Any

from api.contract.document.faults import ContractFault, Pointer
from api.contract.document.model import Contract
from api.contract.document.operation import METHODS, Json, Operation, resolve_or_empty, steps_of

# A fault in another member of the document concerns all operations.
_SEPARATE = {"paths", "components", "webhooks"}
# The last step of the pointer of a path itself, apart from its operations.
_ITSELF = ""


class Uses:
    """The parts of a document that each operation uses, directly or through references."""

    def __init__(self, contract: Contract, faults: Iterable[ContractFault] = ()) -> None:
        self._contract = contract
        self._document = contract.document
        self._direct: dict[str, set[str]] = {}
        self._pointers: dict[str, Pointer] = {}
        self._faults: dict[Pointer, list[ContractFault]] = {}
        self._faulty: set[Pointer] = set()
        for fault in faults:
            pointer = fault.pointer if fault.pointer and fault.pointer[0] in _SEPARATE else ()
            self._faulty.add(pointer)
            # A fault of a path itself concerns all of its operations, unlike a fault in one of them.
            pointer = (*pointer, _ITSELF) if pointer[:1] == ("paths",) and len(pointer) == 2 else pointer
            for length in range(min(len(pointer), 1), len(pointer) + 1):
                self._faults.setdefault(pointer[:length], []).append(fault)

    def of(self, operation: Operation) -> set[Pointer]:
        """Return the pointers of the parts that an operation uses, and its own."""
        item = self._document["paths"][operation.path]
        shared = {name: part for name, part in item.items() if name not in METHODS}
        parts = self.referenced(operation.definition) | self.referenced(shared) | {operation.pointer}
        parts |= {("paths", operation.path, name) for name in [*shared, _ITSELF]}
        return parts | {("components", "securitySchemes", name) for name in _schemes(operation)}

    def referenced(self, node: Json) -> set[Pointer]:
        """Return the pointers of the parts that an object refers to, directly or through others."""
        pending = [*_references(node)]
        seen: set[str] = set()
        while pending:
            reference = pending.pop()
            if reference not in seen:
                seen.add(reference)
                pending += self._inside(reference)
        return {self._pointer(reference) for reference in seen}

    def faults_of(self, operation: Operation) -> list[ContractFault]:
        """Return the faults that affect an operation: those in parts that it uses, and those of the whole document."""
        parts = self._faults.keys() & {(), *self.of(operation)} if self._faults else ()
        return list(dict.fromkeys(fault for part in parts for fault in self._faults[part]))

    def sound(self) -> Contract:
        """Return the contract without its faulty operations and components, so that the others can be built."""
        faulty = {pointer[: _size(pointer)] for pointer in self._faulty}
        return replace(self._contract, document={} if () in faulty else _without(self._document, faulty, ()))

    def _pointer(self, reference: str) -> Pointer:
        if reference not in self._pointers:
            self._pointers[reference] = tuple(steps_of(reference, self._document))
        return self._pointers[reference]

    def _inside(self, reference: str) -> set[str]:
        if reference not in self._direct:
            self._direct[reference] = set(_references(resolve_or_empty({"$ref": reference}, self._document)))
        return self._direct[reference]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _references(part)


def _schemes(operation: Operation) -> set[str]:
    listed = operation.security if isinstance(operation.security, list) else []
    return {name for requirement in listed if isinstance(requirement, dict) for name in requirement}


def _size(pointer: Pointer) -> int:
    """Return the number of steps to the operation, the path or the component of a part."""
    return 3 if pointer[:1] == ("components",) or (len(pointer) > 2 and pointer[2] in METHODS) else 2


def _without(node: Any, faulty: Set[Pointer], around: Pointer) -> Any:
    """Return a part of a document without the faulty parts. A group of parts stays, even if it has a fault itself."""
    if not isinstance(node, dict) or len(around) > 2 or (around and around[0] not in _SEPARATE):
        return node
    kept = {}
    for name, part in node.items():
        pointer = (*around, name)
        is_group = isinstance(part, dict) and len(pointer) < (3 if around[:1] == ("components",) else 2)
        if pointer not in faulty or is_group:
            kept[name] = _without(part, faulty, pointer)
    return kept


def is_in(pointer: Pointer, parts: Set[Pointer]) -> bool:
    """Return True if a pointer leads to one of these parts, or into one of them."""
    return any(pointer[:length] in parts for length in range(len(pointer) + 1))
