"""Share the parts of the layers that depend only on the contract among the applications of a worker process.

The parts have no state but what they find out about the contract. Each test builds an application of its own, and
without these caches it would prepare the parameters, bodies and responses of all operations again.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import pytest

from api import contract
from api.contract.bodies.request_body import RequestBody
from api.contract.dispatch.replies import Replies
from api.contract.document.arguments import argument_names
from api.contract.document.model import Contract
from api.contract.document.operation import Json, Operation
from api.contract.document.publication import located
from api.contract.middleware.routing import Router
from api.contract.schema.parameters import Parameters
from api.contract.schema.response_schema import ResponseSpecs
from api.contract.schema.schemas import Schemas
from api.contract.schema.serializer import Serializers

Made = TypeVar("Made")
Change = Callable[[Contract, Any], Contract]


class Documents(Protocol):
    """The documents that are never changed."""

    def share(self, document: Json) -> None: ...

    def is_shared(self, document: Json) -> bool: ...

    def once_per_contract(self, function: Callable[..., Made]) -> Callable[..., Made]: ...


def share_layers(documents: Documents, patch: pytest.MonkeyPatch) -> None:
    """Make each part once for each contract, until `patch` is undone."""
    patch.setattr(contract, "with_features", _changed_once(contract.with_features, documents))
    patch.setattr(contract, "with_overrides", _changed_once(contract.with_overrides, documents))
    patch.setattr(contract, "with_prefixes", _changed_once(contract.with_prefixes, documents))
    patch.setattr("api.contract.assembly.located", _located_once(documents))
    patch.setattr(Contract, "operations", _operations_once(documents))
    patch.setattr(Contract, "skeleton", _skeleton_once(documents))
    patch.setattr("api.contract.assembly.Router", documents.once_per_contract(Router))
    for module in ("api.contract.dispatch.view", "api.contract.schema.parameters"):
        patch.setattr(f"{module}.argument_names", _arguments_once)
    patch.setattr("api.contract.dispatch.handlers.Serializers", _serializers_once)
    patch.setattr("api.contract.dispatch.view.Replies", _replies_once)
    patch.setattr("api.contract.middleware.response_validation.ResponseSpecs", _specs_once)
    patch.setattr("api.contract.middleware.request_validation.Parameters", _parameters_once)
    patch.setattr("api.contract.middleware.request_validation.RequestBody", _body_once)


def _once(owner: object, key: object, make: Callable[[], Made]) -> Made:
    """Return what `make` returns, which stays on its owner for the next call with this key."""
    made: dict[object, Made] = vars(owner).setdefault("shared_parts", {})
    if key not in made:
        made[key] = make()
    return made[key]


def _changed_once(change: Change, documents: Documents) -> Change:
    """Share the result of each change of a contract. The change that raises an error is made each time."""
    changed: dict[object, tuple[Contract, Contract]] = {}

    def result(given: Contract, changes: Mapping[str, Any] | None) -> Contract:
        # The id is unique as long as the contract exists.
        key = id(given), None if changes is None else frozenset(changes.items())
        if key not in changed:
            changed[key] = given, change(given, changes)
            documents.share(changed[key][1].document)
        return changed[key][1]

    return result


def _located_once(documents: Documents) -> Callable[[Contract, str], Contract]:
    def made(given: Contract, public_url: str) -> Contract:
        changed = located(given, public_url)
        if changed is not given:
            documents.share(changed.document)
        return changed

    return documents.once_per_contract(made)


def _operations_once(documents: Documents) -> Callable[[Contract], Iterator[Operation]]:
    find = Contract.operations
    found = documents.once_per_contract(lambda given: list(find(given)))
    return lambda given: iter(found(given)) if documents.is_shared(given.document) else find(given)


def _skeleton_once(documents: Documents) -> Callable[[Contract, str], Json]:
    make = Contract.skeleton

    def made(given: Contract, handlers: str) -> Json:
        skeleton = make(given, handlers)
        documents.share(skeleton)
        return skeleton

    once = documents.once_per_contract(made)
    return lambda given, handlers: (once if documents.is_shared(given.document) else make)(given, handlers)


def _arguments_once(operation: Operation) -> dict[tuple[str, str], str]:
    return _once(operation, "arguments", lambda: argument_names(operation))


def _serializers_once(schemas: Schemas) -> Serializers:
    return _once(schemas, "serializers", lambda: Serializers(schemas))


def _replies_once(operation: Operation, serializers: Serializers) -> Replies:
    # A test may replace the method of the serializers.
    key = operation.path, operation.method, Serializers.make
    return _once(serializers, key, lambda: Replies(operation, serializers))


def _specs_once(schemas: Schemas) -> ResponseSpecs:
    return _once(schemas, "responses", lambda: ResponseSpecs(schemas))


def _parameters_once(operation: Operation, schemas: Schemas, keys: set[str]) -> Parameters:
    key = operation.path, operation.method
    return _once(schemas, key, lambda: Parameters(operation, schemas, keys))


def _body_once(body: Json, schemas: Schemas) -> RequestBody:
    # The schemas keep the body, so its id is unique.
    made = _once(schemas, id(body), lambda: (body, RequestBody(body, schemas)))
    return made[1]
