"""The faults of a document, each with its place, and the error that lists them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

Pointer = tuple[str | int, ...]
"""The steps from the root of a document to one of its parts."""


class ContractFault(NamedTuple):
    """A reason why a document cannot be served.

    `pointer` names the part of the document, or of `file` if that is set. `place` is the same for people: file, line
    and operation.
    """

    message: str
    pointer: Pointer | None = None
    place: str = ""
    file: Path | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class ContractError(Exception):
    """The document cannot be served, so the process does not start. `faults` lists every reason.

    `at` is the object of the document that has the fault. It is found by identity, and only if it is reported.
    """

    def __init__(self, message: str = "", at: object = None, faults: Sequence[ContractFault] = ()) -> None:
        self.faults = tuple(faults) or (ContractFault(message),)
        self.at = at
        super().__init__("\n".join(map(str, self.faults)))


class Faults:
    """Collects the faults of a document, each once. The places are added when all are known."""

    def __init__(self) -> None:
        self._found: dict[ContractFault, None] = {}
        self._pointers: dict[int, Pointer] = {}
        self._searched: object = None

    @property
    def found(self) -> list[ContractFault]:
        """The faults in the order in which they were found."""
        return list(self._found)

    def add(self, pointer: Pointer, message: str, file: Path | None = None, place: str = "") -> None:
        """Add a fault, unless it is known already."""
        self._found.setdefault(ContractFault(message, pointer, place, file))

    def take(self) -> list[ContractFault]:
        """Return the faults, and forget them."""
        taken, self._found = self.found, {}
        return taken

    @contextmanager
    def at(self, pointer: Pointer, document: object = None) -> Iterator[None]:
        """Add each ContractError that the block raises as a fault of this part.

        An error that names an object of the `document` gets the pointer of that object instead.
        """
        try:
            yield
        except ContractError as error:
            exact = None if error.at is None else self._pointer(document, error.at)
            for fault in error.faults:
                place = fault.pointer if fault.pointer is not None else exact
                where = pointer if place is None else place
                self.add(where, fault.message, fault.file, fault.place)

    def _pointer(self, document: object, part: object) -> Pointer | None:
        """Return the pointer of an object in a document, or None. A document is searched once."""
        if self._searched is not document:
            self._searched, self._pointers = document, {}
            for pointer, node in _parts(document, ()):
                self._pointers.setdefault(id(node), pointer)
        return self._pointers.get(id(part))


def _parts(node: object, pointer: Pointer) -> Iterator[tuple[Pointer, object]]:
    yield pointer, node
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, part in parts:
        yield from _parts(part, (*pointer, name))
