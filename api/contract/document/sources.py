"""The files of a document, and the lines of its parts. A file is read for its lines only when a fault is reported."""

from bisect import bisect
from itertools import accumulate
from json import JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

import yaml

from api.contract.document.faults import ContractFault, Pointer
from api.contract.document.files import CoreLoader
from api.contract.document.operation import METHODS


class Sources:
    """The files that a document was merged from."""

    def __init__(self, main: Path | None = None) -> None:
        self._origins: dict[Pointer, tuple[Path, Pointer]] = {(): (main, ())} if main else {}
        self._lines: dict[Path, _YamlLines | _JsonLines] = {}

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
                self._lines[file] = _JsonLines(file) if file.suffix == ".json" else _YamlLines(file)
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
        with file.open(encoding="utf-8") as stream:
            self._root = yaml.compose(stream, CoreLoader)

    def find(self, pointer: Pointer) -> int:
        """Return the line of a part, or of the nearest part around it."""
        node, line = self._root, 1
        for step in pointer:
            found = _member(node, step)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line + 1
        return line


def _member(node: Any, step: str | int) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    if not isinstance(node, yaml.MappingNode):
        return None
    merged: list[Any] = []
    for key, value in node.value:
        if key.value == step:
            return key, value
        if key.value == "<<":
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
    return next((found for part in merged if (found := _member(part, step))), None)


class _JsonLines:
    """The lines of a JSON file."""

    def __init__(self, file: Path) -> None:
        self._text = file.read_text(encoding="utf-8-sig")
        self._starts = [0, *accumulate(len(line) + 1 for line in self._text.split("\n"))]

    def find(self, pointer: Pointer) -> int:
        """Return the line of a part, or of the nearest part around it."""
        at = start = _after_blanks(self._text, 0)
        for step in pointer:
            found = _json_member(self._text, start, step)
            if found is None:
                break
            at, start = found
        return bisect(self._starts, at)


def _json_member(text: str, start: int, step: str | int) -> tuple[int, int] | None:
    """Return the positions of a member and of its value. `start` is the position of the object or the list."""
    opening, index, at = text[start], 0, _after_blanks(text, start + 1)
    if opening not in "{[":
        return None
    while text[at] not in "]}":
        name, value = (index, at) if opening == "[" else _json_key(text, at)
        if name == step:
            return at, value
        at = _after_blanks(text, JSONDecoder().raw_decode(text, value)[1])
        at = _after_blanks(text, at + 1) if text[at] == "," else at
        index += 1
    return None


def _json_key(text: str, at: int) -> tuple[str, int]:
    name, end = scanstring(text, at + 1)
    return name, _after_blanks(text, _after_blanks(text, end) + 1)


def _after_blanks(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
