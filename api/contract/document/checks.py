"""Find what cannot be served in a document of the right structure. Each fault names its part of the document."""

import re
from collections.abc import Collection, Container, Iterator
from difflib import get_close_matches
from typing import Any

from api.contract.document.events import check_events
from api.contract.document.extensions import check_extensions, check_roles, check_service_scopes
from api.contract.document.faults import ContractError, Faults, Pointer
from api.contract.document.model import Contract
from api.contract.document.operation import METHODS, Json, Operation, resolve, resolve_or_empty, steps_of
from api.contract.document.prefixes import check_prefixes
from api.contract.document.uses import Uses

# Shorter names resemble each other by chance.
_SHORT = 4


def check(contract: Contract, faults: Faults) -> None:
    """Add the faults of a contract whose operations have handlers: also those of names, tags and links.

    Operations that are affected by the known faults are left out.
    """
    known = faults.found
    uses = Uses(contract, known)
    operations = [operation for operation in uses.sound().operations() if not uses.faults_of(operation)]
    names = names_of(contract)
    for operation in operations:
        with faults.at(operation.pointer):
            _check_name(operation.definition)
            _check_tag(operation, contract)
        with faults.at((*operation.pointer, "parameters"), contract.document):
            _check_duplicates(operation)
        check_operation(operation, names, faults)
    _check_unique(contract, faults)
    if not known:
        check_roles(contract, faults)
        check_events(contract, faults)
        check_service_scopes(contract, faults)
        check_prefixes(contract, faults)


def _check_unique(contract: Contract, faults: Faults) -> None:
    seen: dict[str, Operation] = {}
    for operation in contract.operations():
        name = operation.definition.get("operationId")
        if not isinstance(name, str):
            continue
        first = seen.setdefault(name, operation)
        if first is not operation:
            other = f"{first.method.upper()} {first.path}"
            faults.add(operation.pointer, f"the operationId {name!r} is already in use by {other}")


def names_of(contract: Contract) -> set[str]:
    """Return the names of the operations, which links refer to."""
    return {str(operation.definition.get("operationId")) for operation in contract.operations()}


def check_operation(operation: Operation, names: Container[Any], faults: Faults) -> None:
    """Add the faults of one operation, apart from its own name. `names` are those of all operations."""
    _check_links(operation, names, faults)
    check_extensions(operation, faults)


def check_formats(contract: Contract, known: Collection[str]) -> None:
    """Raise ContractError for each unknown `format` that is misspelled. Others are not checked."""
    faults = Faults()
    for pointer, name in _unknown_formats(contract, known):
        if intended := _intended(name, known):
            faults.add(pointer, f"unknown format {name!r}; did you mean {intended!r}?")
    contract.reject(faults)


def unchecked_formats(contract: Contract, known: Collection[str]) -> Faults:
    """Return each unknown `format` that `check_formats` accepts, with the nearest known one if there is one."""
    faults = Faults()
    for pointer, name in _unknown_formats(contract, known):
        if not _intended(name, known):
            nearest = get_close_matches(name.lower(), sorted(known), 1, 0.65)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            faults.add(pointer, f"unknown format {name!r} is not checked{hint}")
    return faults


def _unknown_formats(contract: Contract, known: Collection[str]) -> Iterator[tuple[Pointer, str]]:
    for part in contract.parts:
        name = part.node.get("format") if part.kind == "Schema" else None
        if isinstance(name, str) and name not in known:
            yield (*part.pointer, "format"), name


def _intended(name: str, known: Collection[str]) -> str | None:
    """Return the known format that a name misspells, or None if the name may be a format of its own.

    A format such as `base64`, `float32` or `ulid` resembles a known one, but means something else.
    """
    for candidate in known:
        if _plain(candidate) == _plain(name) or (len(name) > _SHORT and _is_transposed(name, candidate)):
            return candidate
    nearest = get_close_matches(name, [candidate for candidate in known if len(candidate) > _SHORT], 1, 0.85)
    return nearest[0] if nearest else None


def _plain(name: str) -> str:
    return re.sub("[^0-9a-z]", "", name.lower())


def _is_transposed(name: str, candidate: str) -> bool:
    """Return True if two neighbouring letters of the candidate are exchanged."""
    return any(
        candidate[:index] + candidate[index + 1] + candidate[index] + candidate[index + 2 :] == name
        for index in range(len(candidate) - 1)
    )


def _check_name(operation: Json) -> None:
    if not str(operation.get("operationId", "")).isidentifier():
        raise ContractError("operationId must be an identifier, such as addNote", at=operation.get("operationId"))


def _check_tag(operation: Operation, contract: Contract) -> None:
    file = contract.sources.file(operation.pointer)
    if file is not None and operation.definition.get("tags") != [file.stem]:
        raise ContractError(f"the operation must have exactly one tag, {file.stem!r}, as its file")


def _check_duplicates(operation: Operation) -> None:
    seen = set()
    for parameter in _own_parameters(operation):
        if (place := (parameter["in"], parameter["name"])) in seen:
            raise ContractError(f"duplicate parameter {parameter['name']!r}")
        seen.add(place)


def _own_parameters(operation: Operation) -> list[Json]:
    return [resolve(parameter, operation.document) for parameter in operation.definition.get("parameters", [])]


def _check_links(operation: Operation, names: Container[Any], faults: Faults) -> None:
    for status, response in operation.responses.items():
        for name, link in response.get("links", {}).items():
            target = resolve(link, operation.document)
            reference = str(target.get("operationRef", ""))
            is_known = "operationId" not in target or target["operationId"] in names
            if not is_known or (reference.startswith("#") and not _is_operation(reference, operation.document)):
                pointer: Pointer = (*operation.pointer, "responses", status, "links", name)
                faults.add(pointer, f"operation of the link {name!r} not found")


def _is_operation(reference: str, document: Json) -> bool:
    steps = [*steps_of(reference, document)]
    known = resolve_or_empty({"$ref": reference}, document)
    return bool(known) and len(steps) == 3 and steps[0] == "paths" and steps[2] in METHODS
