"""Read the files of a folder as one OpenAPI document."""

from pathlib import Path
from typing import Any

from api.contract.document.checks import check
from api.contract.document.faults import Faults, Pointer
from api.contract.document.files import SUFFIXES, read
from api.contract.document.model import Contract
from api.contract.document.operation import METHODS, Json, Operation, resolve
from api.contract.document.rate_limits import policies_of
from api.contract.document.shared_strings import apply_string_rules
from api.contract.document.sources import Sources
from api.contract.document.structure import Structure
from api.contract.document.version import check_version

# `make freeze` writes this file: the contract of the last release.
_RELEASED = "released.json"


def read_folder(folder: Path) -> tuple[Contract, Faults]:
    """Merge `openapi.yaml` with the files beside it, one for each tag, and return the result with all its faults.

    A file may also end in `.yml` or `.json`. It is a fault if a file cannot be read, or if something is defined twice,
    is in the file of another tag, or is not OpenAPI 3.0 or 3.1. Without faults, call `share` next.
    """
    merging = _Merging(folder)
    contract, faults = Contract(merging.document, merging.sources), merging.faults
    if merging.is_complete:
        with faults.at(("x-shared", "strings")):
            apply_string_rules(contract.document)
        contract.parts.extend(Structure(contract.document, faults).parts)
        check(contract, faults)
    return contract, faults


def share(contract: Contract) -> None:
    """Add the shared responses and headers of `x-shared` to each operation, and remove `x-shared`."""
    shared = contract.document.pop("x-shared", {})
    for operation in contract.operations():
        _apply_shared(shared, operation)
    _add_headers(shared, contract.document.get("x-elsewhere", {}), contract.document)


def load_file(file: Path) -> tuple[Contract, Faults]:
    """Read any OpenAPI document, which is one file. Return it with the faults of its structure.

    Raises ContractError if the file is not valid YAML or JSON, or not OpenAPI 3.0 or 3.1.
    """
    document, faults = read(file), Faults()
    contract = Contract(document, Sources(file))
    if isinstance(document, dict):
        check_version(document, faults)
    else:
        faults.add((), "the file must be a mapping")
    contract.reject(faults)
    contract.parts.extend(Structure(document, faults).parts)
    return contract, faults


def _files(folder: Path, faults: Faults) -> dict[str, Path]:
    """Return the files of a contract by their stems, and add the entries of the folder that would be ignored."""
    found: dict[str, Path] = {}
    for entry in sorted(folder.glob("[!._]*")):
        if entry.name == _RELEASED:
            continue
        if entry.is_dir() or entry.suffix not in SUFFIXES:
            message = f"only {', '.join(SUFFIXES)} files are read; move it out of {folder.name}/"
            faults.add((), message, place=entry.name)
        elif found.setdefault(entry.stem, entry) != entry:
            faults.add((), f"{found[entry.stem].name} has the same tag; merge the two files", place=entry.name)
    return {"openapi": folder / "openapi.yaml"} | found


class _Merging:
    """The document and the faults of its files. Each part of the document comes from one file."""

    def __init__(self, folder: Path) -> None:
        self.faults = Faults()
        self.document: Json = {}
        self.is_complete = False
        files = _files(folder, self.faults)
        self.sources = Sources(files["openapi"])
        parts = {tag: part for tag, file in files.items() if (part := self._read(file)) is not None}
        if parts.keys() < files.keys():
            return
        self.document = parts.pop("openapi") | {"tags": []}
        known = len(self.faults.found)
        check_version(self.document, self.faults)
        self.is_complete = len(self.faults.found) == known
        for name in ("paths", "components"):
            self.document[name] = self._mapping(self.document.get(name, {}), (name,))
        if self.document["paths"]:
            self.faults.add(("paths",), "paths must be {}, because each tag has its own file")
        for tag, part in parts.items():
            self._merge(part, tag, files[tag])

    def _read(self, file: Path) -> Json | None:
        with self.faults.at(()):
            value = read(file)
            if isinstance(value, dict):
                return value
            self.faults.add((), "the file must be a mapping", file)
        return None

    def _mapping(self, value: Any, pointer: Pointer) -> Json:
        if isinstance(value, dict):
            return value
        self.faults.add(pointer, f"{pointer[-1]!r} must be a mapping")
        return {}

    def _merge(self, part: Json, tag: str, file: Path) -> None:
        if not {"tags", "paths"} <= part.keys() <= {"tags", "paths", "components"}:
            self.faults.add((), "the file must have tags and paths, optionally components, and nothing else", file)
            return
        tags = part["tags"]
        if not isinstance(tags, list) or len(tags) != 1 or not isinstance(tags[0], dict) or tags[0].get("name") != tag:
            self.faults.add(("tags",), f"the file must describe exactly one tag, {tag!r}", file)
            return
        self.sources.add(("tags", len(self.document["tags"])), file, ("tags", 0))
        self.document["tags"] += tags
        for name in ("paths", "components"):
            if not isinstance(part.get(name, {}), dict):
                self.faults.add((name,), f"{name!r} must be a mapping", file)
                part[name] = {}
        self._merge_groups(self.document["paths"], part["paths"], ("paths",), file)
        self._merge_groups(self.document["components"], part.get("components", {}), ("components",), file)

    def _merge_groups(self, target: Json, part: Json, pointer: Pointer, file: Path) -> None:
        """Merge the paths with their operations, or the kinds of components with their members."""
        for group, members in part.items():
            place = (*pointer, group)
            if not isinstance(members, dict):
                self.faults.add(place, f"{group!r} must be a mapping", file)
                continue
            if group not in target:
                self.sources.add(place, file)
            for name, value in members.items():
                first = self.sources.file((*place, name))
                is_shared = pointer == ("paths",) and name not in METHODS
                if name in target.setdefault(group, {}) and not (is_shared and target[group][name] == value):
                    other = f" and in {first.name}" if first else ""
                    self.faults.add((*place, name), f"{_title(group, name)} is defined twice, here{other}", file)
                else:
                    target[group][name] = value
                    self.sources.add((*place, name), file)


def _title(group: str, name: str) -> str:
    return f"{name.upper()} {group}" if name in METHODS else f"{group} > {name}"


def _apply_shared(shared: Json, operation: Operation) -> None:
    """Add the shared responses and headers to an operation. Its own definitions take precedence."""
    groups = shared.get("responses", {})
    applying = dict(groups.get("always", {}))
    if operation.security:
        applying |= groups.get("with-security", {})
    if operation.feature:
        applying |= groups.get("with-feature", {})
    if operation.scopes:
        applying |= groups.get("with-scopes", {})
    if "requestBody" in operation.definition:
        applying |= groups.get("with-body", {})
    if policies_of(operation):
        applying |= groups.get("with-rate-limit", {})
    if operation.step_up_seconds is not None:
        applying |= groups.get("with-step-up", {})
    responses = dict(sorted({**applying, **operation.definition.get("responses", {})}.items()))
    if any(policy.is_public for policy in policies_of(operation)):
        before = [group for name, group in groups.items() if name != "with-rate-limit"]
        earlier = [response for group in before for response in group.values()]
        later = {status: response for status, response in responses.items() if response not in earlier}
        _add_headers({"headers": shared.get("headers-with-rate-limit", {})}, later, operation.document)
    operation.definition["responses"] = responses
    _add_headers(shared, responses, operation.document)


def _add_headers(shared: Json, responses: Json, document: Json) -> None:
    for response in responses.values():
        definition = resolve(response, document)
        definition["headers"] = {**shared.get("headers", {}), **definition.get("headers", {})}
