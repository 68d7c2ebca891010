"""Check the contract of the service, or any OpenAPI document, and print all faults."""

import logging
from pathlib import Path

import click

from api import app, contract
from api.config.paths import resource_dir
from api.services import roles

_log = logging.getLogger("charter.contract")


def check_contract() -> bool:
    """Print the broken rules of the contract. Return True if it keeps all.

    Raises ContractError if the contract cannot be served.
    """
    document = _load()
    unserved: list[contract.ContractFault] = []
    try:
        app.check_handlers()
    except contract.ContractError as error:
        unserved += error.faults
    faults = [*unserved, *_broken_rules(document)]
    _print(faults, contract.unknown_formats(document, app.formats(document.title)))
    operations = len(list(document.operations()))
    if unserved:
        click.echo("The contract cannot be served.")
    else:
        kept = f"breaks rules in {_number(len(faults), 'place')}" if faults else "keeps all rules"
        click.echo(f"{_number(operations, 'operation')} can be served. The contract {kept}.")
    return not faults


def check_document(file: Path) -> bool:
    """Print what could not be served of a document. Return True if all of its operations could be.

    Raises ContractError if the file is not OpenAPI 3.0 or 3.1.
    """
    verdict = contract.check_file(file)
    _print(verdict.faults, verdict.warnings)
    click.echo(f"{verdict.served} of {_number(verdict.operations, 'operation')} can be served.")
    return not verdict.faults


def warn_of_broken_rules() -> None:
    """Log each broken rule and each unknown format of the contract as a warning."""
    document = contract.load(resource_dir("openapi"))
    for fault in _broken_rules(document) + contract.unknown_formats(document, app.formats(document.title)):
        _log.warning("contract_rule", extra={"facts": {"place": fault.place, "hint": fault.message}})


def _load() -> contract.Contract:
    """Return the contract. Raises ContractError with all faults of its files, and with the missing handlers."""
    folder = resource_dir("openapi")
    try:
        return contract.load(folder)
    except contract.ContractError as error:
        missing = contract.missing_handlers(folder, app.HANDLERS)
        raise contract.ContractError(faults=[*error.faults, *missing]) from None


def _print(faults: list[contract.ContractFault], warnings: list[contract.ContractFault]) -> None:
    for fault in faults:
        click.echo(fault)
    for warning in warnings:
        click.echo(f"warning: {warning}")


def _broken_rules(document: contract.Contract) -> list[contract.ContractFault]:
    broken = contract.broken_rules(document, app.formats(document.title), administrator=roles.ADMIN)
    return broken + contract.ignored_arguments(document, app.HANDLERS)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
