"""The files of a document, and the lines of its parts. A file is read for its lines only when a fault is reported."""

from pathlib import Path
from typing import Any

import yaml

from api.contract.document.faults import ContractFault, Pointer
from api.contract.document.files import compose
from api.contract.document.json_text import JsonLines
from api.contract.document.operation import METHODS


class Sources:
    """The files that a document was merged from."""

    def __init__(self, main: Path | None = None) -> None:
        self._origins: dict[Pointer, tuple[Path, Pointer]] = {(): (main, ())} if main else {}
        self._lines: dict[Path, _YamlLines | JsonLines] = {}

    def add(self, pointer: Pointer, file: Path, inner: Pointer | None = None) -> None:
        """Store that a part comes from a file. `inner` is its pointer in that file, if it differs."""
        self._origins[pointer] = file, pointer if inner is None else inner

    def file(self, pointer: Pointer) -> Path | None:
        """Return the file of a part."""
        return self._origin(pointer)[0]

    def located(self, faults: list[ContractFault], owner: Pointer | None = None) -> list[ContractFault]:
        """Return the faults with their places, in the order of the files and lines.

        A place names the part of the fault, or the operation `owner` that uses it.
        """
        placed = []
        for fault in faults:
            file, line = ("", 0) if fault.place or fault.pointer is None else self._line(fault)
            where = f"{file}:{line}" if line else file
            what = subject(owner or fault.pointer or ())
            place = fault.place or ": ".join(part for part in (where, what) if part)
            placed.append((file, line, fault._replace(place=place)))
        return [fault for *_, fault in sorted(placed, key=lambda entry: entry[:2])]

    def _origin(self, pointer: Pointer) -> tuple[Path | None, Pointer]:
        for length in range(len(pointer), -1, -1):
            if pointer[:length] in self._origins:
                file, inner = self._origins[pointer[:length]]
                return file, inner + pointer[length:]
        return None, pointer

    def _line(self, fault: ContractFault) -> tuple[str, int]:
        pointer = fault.pointer or ()
        file, inner = (fault.file, pointer) if fault.file else self._origin(pointer)
        if file is None:
            return "", 0
        try:
            if file not in self._lines:
                self._lines[file] = JsonLines(file) if file.suffix == ".json" else _YamlLines(file)
            return file.name, self._lines[file].find(inner)
        except (OSError, ValueError, yaml.YAMLError):
            # The file has changed since it was loaded.
            return file.name, 0


def subject(pointer: Pointer) -> str:
    """Return the name of a part for people: `GET /notes` for all parts of an operation."""
    steps = [str(step) for step in pointer if step != "$ref"]
    if steps[:1] == ["paths"] and len(steps) > 2 and steps[2] in METHODS:
        return f"{steps[2].upper()} {steps[1]}"
    return " > ".join(steps[1:] if steps[:1] in (["paths"], ["components"]) else steps)


class _YamlLines:
    """The lines of a YAML file."""

    def __init__(self, file: Path) -> None:
        self._root = compose(file)
        self._members: dict[int, dict[str | int, tuple[yaml.Node, yaml.Node]]] = {}

    def find(self, pointer: Pointer) -> int:
        """Return the line of a part, or of the nearest part around it."""
        node, line = self._root, 1
        for step in pointer:
            members = self._members_of(node)
            if step not in members:
                break
            key, node = members[step]
            line = key.start_mark.line + 1
        return line

    def _members_of(self, node: Any) -> dict[str | int, tuple[yaml.Node, yaml.Node]]:
        """Return the parts of a node by their steps, each with the node that has its line."""
        if id(node) not in self._members:
            self._members[id(node)] = self._listed(node)
        return self._members[id(node)]

    def _listed(self, node: Any) -> dict[str | int, tuple[yaml.Node, yaml.Node]]:
        if isinstance(node, yaml.SequenceNode):
            return {index: (part, part) for index, part in enumerate(node.value)}
        own: dict[str | int, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str | int, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value == "<<":
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    merged = self._members_of(part) | merged
            elif isinstance(key, yaml.ScalarNode):
                own.setdefault(key.value, (key, value))
        return merged | own
