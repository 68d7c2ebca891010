"""Audit events of operations: the extension `x-event`, whose names are in `x-events` of the document."""

import re

from api.contract.document.faults import ContractError, Faults
from api.contract.document.model import Contract
from api.contract.document.operation import Operation

_FIELD, _NAMES = "x-event", "x-events"
_NAME = re.compile("[a-z]+(_[a-z]+)*")
_LONGEST = 40


def check_event(operation: Operation) -> None:
    """Raise ContractError if `x-event` of an operation is not valid."""
    listed = operation.definition.get(_FIELD, "none")
    if isinstance(listed, str) and listed:
        return
    if not isinstance(listed, list) or not listed or len({*map(str, listed)}) < len(listed):
        raise ContractError("x-event must be a list of different events, or the reason why nothing is recorded")
    known = operation.document.get(_NAMES, {})
    if unknown := [name for name in listed if name not in known]:
        raise ContractError(f"unknown event {unknown[0]!r}; describe it in {_NAMES} of openapi.yaml")


def check_events(contract: Contract, faults: Faults) -> None:
    """Add each event of `x-events` with an invalid name, and each that nothing writes.

    The document itself may have `x-event` for those that no operation writes, but a command or a background task.
    """
    known, others = contract.document.get(_NAMES, {}), contract.document.get(_FIELD, [])
    written = {*others, *(name for operation in contract.operations() for name in operation.events)}
    for name in known:
        if not _NAME.fullmatch(name) or len(name) > _LONGEST:
            faults.add((_NAMES, name), f"an event must consist of small letters, such as note_added, not {name!r}")
        elif name not in written:
            faults.add((_NAMES, name), f"nothing writes the event {name!r}; add it to x-event")
    if unknown := [name for name in others if name not in known]:
        faults.add((_FIELD,), f"unknown event {unknown[0]!r}; describe it in {_NAMES}")


def described(operation: Operation) -> str:
    """Return the events of an operation in words, for the documentation page."""
    return f"Audit events: {', '.join(f'`{name}`' for name in operation.events)}."
