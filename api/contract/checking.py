"""Check what can be served: all operations of a contract with its handlers, or those of any OpenAPI document."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from starlette.types import Receive, Scope, Send

from api.contract.dispatch.lookup import HandlersUnusable, find_handler, module_of
from api.contract.dispatch.view import HandlerResources, HandlerView, ignored_by
from api.contract.document.checks import check_formats, check_operation, names_of, unchecked_formats
from api.contract.document.faults import ContractError, ContractFault, Faults
from api.contract.document.load import load_file, read_folder, share
from api.contract.document.model import Contract
from api.contract.document.operation import Operation
from api.contract.document.uses import Uses
from api.contract.middleware.credentials import Authenticate, Identity
from api.contract.middleware.request_validation import ValidatedOperation
from api.contract.middleware.routing import Router
from api.contract.middleware.security import make_verification
from api.contract.schema.formats import Format, known_formats
from api.contract.schema.schemas import Schemas
from api.contract.schema.serializer import Serializers
from api.errors import InvalidCredentials

Assemble = TypeVar("Assemble", bound=Callable[..., Any])


def with_all_faults(assemble: Assemble) -> Assemble:
    """Let `assemble` raise a ContractError with all faults of all operations, each with its place."""

    @wraps(assemble)
    def assembled(contract: Contract, **options: Any) -> Any:
        try:
            return assemble(contract, **options)
        except ContractError as error:
            names = ("handlers", "authenticators", "formats", "serving")
            found = find_faults(contract, *(options[name] for name in names))
            known = {fault.message for fault in found}
            others = [fault for fault in error.faults if fault.message not in known]
            raise ContractError(faults=found + contract.sources.located(others)) from None

    return cast(Assemble, assembled)


def find_faults(
    contract: Contract,
    handlers: str,
    authenticators: Mapping[str, Authenticate],
    formats: Mapping[str, Format],
    serving: HandlerResources,
) -> list[ContractFault]:
    """Return all faults that prevent the start of a contract, in the order of its files.

    The start itself stops at the first one, so this is called only after it has failed.
    """
    faults = Faults()
    schemas = Schemas(contract.document, formats)
    serializers = Serializers(schemas)
    with faults.at((), contract.document):
        check_formats(contract, known_formats(formats))
    for operation, handler in _handlers(contract.operations(), handlers, faults):
        with faults.at(operation.pointer, contract.document):
            HandlerView(operation, handler, serving, serializers)
    for operation in contract.operations():
        with faults.at(operation.pointer, contract.document):
            ValidatedOperation(operation, _nowhere, schemas)
        with faults.at(operation.pointer, contract.document):
            make_verification(operation, authenticators)
    return contract.sources.located(faults.found)


def ignored_arguments(contract: Contract, handlers: str) -> list[ContractFault]:
    """Return each parameter, and each body, that the handler of its operation does not take. The start ignores them."""
    faults = Faults()
    for operation, handler in _handlers(contract.operations(), handlers, Faults()):
        for message in ignored_by(operation, handler):
            faults.add(operation.pointer, message)
    return contract.sources.located(faults.found)


def _handlers(
    operations: Iterable[Operation], handlers: str, faults: Faults
) -> Iterator[tuple[Operation, Callable[..., Any]]]:
    """Yield each operation with its handler, and add a fault for each operation without one.

    A module that cannot be used is one fault for all its operations.
    """
    unusable = set()
    for operation in operations:
        address = operation.address(handlers)
        if module_of(address) in unusable:
            continue
        with faults.at(operation.pointer):
            try:
                found = find_handler(address)
            except HandlersUnusable:
                unusable.add(module_of(address))
                raise
            yield operation, found


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the next layer, which is not called."""


def load(folder: Path) -> Contract:
    """Return the contract of a folder, with the parts of `x-shared` in each operation.

    Raises ContractError with all faults, apart from those of the handlers, if it cannot be served.
    """
    contract, faults = read_folder(folder)
    if faults.found:
        uses = Uses(contract, faults.found)
        builder = _Builder(uses.sound())
        for operation in builder.operations:
            if not uses.faults_of(operation):
                builder.build(operation, faults)
    contract.reject(faults)
    share(contract)
    return contract


def missing_handlers(folder: Path, handlers: str) -> list[ContractFault]:
    """Return each operation of a folder whose handler is missing, also if the contract has faults of its own."""
    contract, _ = read_folder(folder)
    faults = Faults()
    list(_handlers(filter(_has_address, contract.operations()), handlers, faults))
    return contract.sources.located(faults.found)


def _has_address(operation: Operation) -> bool:
    name, tags = (operation.definition.get(field) for field in ("operationId", "tags"))
    return isinstance(name, str) and name.isidentifier() and isinstance(tags, list) and len(tags) == 1


class Verdict(NamedTuple):
    """The number of operations in a document, the number of those that can be served, all faults, and warnings."""

    operations: int
    served: int
    faults: list[ContractFault]
    warnings: list[ContractFault]


def check_file(file: Path) -> Verdict:
    """Return the operations of any OpenAPI document that could be served, if they had handlers.

    Raises ContractError if the file is not valid YAML or JSON, or not OpenAPI 3.0 or 3.1.
    """
    contract, structural = load_file(file)
    with structural.at(()):
        check_formats(contract, known_formats({}))
    uses = Uses(contract, structural.found)
    broken = {operation.pointer: uses.faults_of(operation) for operation in contract.operations()}
    affected = Counter(fault for faults in broken.values() for fault in faults)
    counted = [fault._replace(message=_counted(fault, affected[fault])) for fault in structural.found]
    listed, own = contract.sources.located(counted), Faults()
    builder = _Builder(uses.sound())
    served, names = 0, names_of(contract)
    for operation in builder.operations:
        if not broken[operation.pointer]:
            named = _named(operation)
            check_operation(named, names, own)
            builder.build(named, own)
            found = own.take()
            listed += contract.sources.located(found, operation.pointer)
            served += not found
    return Verdict(len(broken), served, listed, unknown_formats(contract, {}))


def unknown_formats(contract: Contract, formats: Mapping[str, Format]) -> list[ContractFault]:
    """Return each `format` that is unknown, so that it is not checked. `formats` are those of the service."""
    return contract.sources.located(unchecked_formats(contract, known_formats(formats)).found)


def _counted(fault: ContractFault, operations: int) -> str:
    """Return the message of a fault, with the number of affected operations if the fault is in a shared part."""
    if (fault.pointer or ())[:1] == ("paths",):
        return fault.message
    return f"{fault.message} (used by {operations} operation{'s' * (operations != 1)})"


class _Builder:
    """Builds the layers of operations without their handlers, to find the constructs that are not supported."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.operations = list(contract.operations())
        self._schemas = Schemas(contract.document, {})
        self._serializers = Serializers(self._schemas)
        schemes = contract.document.get("components", {}).get("securitySchemes", {})
        self._authenticators: dict[str, Authenticate] = dict.fromkeys(schemes, _anyone)

    def build(self, operation: Operation, faults: Faults) -> None:
        """Add each construct of an operation that is not supported."""
        document = self._contract.document
        paths = {operation.path: document["paths"][operation.path]}
        for build in (
            lambda: Router(replace(self._contract, document=document | {"paths": paths})),
            lambda: make_verification(operation, self._authenticators),
            lambda: ValidatedOperation(operation, _nowhere, self._schemas),
            lambda: HandlerView(operation, _handler, _NO_RESOURCES, self._serializers),
        ):
            with faults.at(operation.pointer, document):
                try:
                    build()
                except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
                    raise ContractError(f"not supported ({type(error).__name__}: {error})") from None


async def _anyone(*_: str) -> Identity:
    """Take the place of a security scheme's function, which is not called."""
    raise InvalidCredentials()


def _handler() -> None:
    """Stand for the handler of an operation."""


_NO_RESOURCES = HandlerResources(nullcontext, {})


def _named(operation: Operation) -> Operation:
    """Return an operation with an id and a tag, because the names of a foreign document do not matter."""
    names = {"operationId": f"{operation.method} {operation.path}", "tags": ["file"]}
    return replace(operation, definition=operation.definition | names)
