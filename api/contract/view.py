"""From an operation to a function: give the handler what it asks for, and cut what it returns to the contract."""

import inspect
from collections.abc import Callable, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import uniform
from time import sleep
from typing import Any, Protocol, TypeVar

import flask
import orjson
from connexion.operations import AbstractOperation
from starlette.types import Scope

from api.contract.client import client_of
from api.contract.document import ContractError, success
from api.contract.flask import as_response
from api.contract.reply import Reply, raw_headers
from api.contract.route import CONTEXT
from api.contract.shape import shaper
from api.errors import ApiError

Handler = TypeVar("Handler", bound=Callable[..., Any])
Found = TypeVar("Found")
Transaction = Callable[[], AbstractContextManager[Any]]
"""Opens what a handler gets as `db`: leaving it commits, raising rolls back."""


class Lane(Protocol):
    """Runs calls where they hold up nobody else."""

    async def run(self, call: Callable[[], Found]) -> Found:
        """What `call` returns or raises; an ApiError instead if its turn would not come soon."""


@dataclass(frozen=True)
class Serving:
    """What handlers can ask for by name, beside what the request brings.

    Who asks for a resource that has a lane runs in that lane.
    """

    transaction: Transaction
    resources: Mapping[str, Any]
    lanes: Mapping[str, Lane] = field(default_factory=dict)


# Seconds before a handler that may be repeated is called once more.
_PAUSES = (0.02, 0.1)
# What a handler gets whatever its operation says.
_GIVEN = {"client", "db"}
_EMPTY = (b"content-length", b"0")
# orjson would write all members of a dataclass, and times in another form; what nobody has shaped is not written.
_ONLY_JSON = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def nonblocking(handler: Handler) -> Handler:
    """Mark a handler that never waits, for a database, a file or another service: it runs on the event loop itself.

    If it waits all the same, everybody waits for it.
    """
    handler.nonblocking = True  # type: ignore[attr-defined]
    return handler


class View:
    """One operation's handler, made ready once.

    The handler names what it needs: `body`, a parameter, `identity`, `client`, `db`, or a resource. It returns the body
    of the operation's one 2xx answer, or (body, headers); the status and the members are the contract's. With `db`, it
    may be called up to three times, when other transactions were in its way.
    """

    def __init__(self, operation: AbstractOperation, serving: Serving) -> None:
        status = success({"responses": operation.responses})
        content = operation.responses[status].get("content", {})
        self.operation_id: str = operation.operation_id
        self._status = int(status)
        media_type = next(iter(content), "")
        self._content_type = (b"content-type", media_type.encode())
        self._shape = shaper(content[media_type].get("schema", {})) if media_type else None
        self._function = operation.function
        self._transaction = serving.transaction
        asks_for = set(inspect.signature(self._function).parameters)
        self._resources = {name: value for name, value in serving.resources.items() if name in asks_for}
        self._from_request = asks_for - self._resources.keys() - _GIVEN
        self._wants_client = "client" in asks_for
        self._wants_db = "db" in asks_for
        self.nonblocking: bool = getattr(self._function, "nonblocking", False)
        self.lane = next((lane for name, lane in serving.lanes.items() if name in asks_for), None)
        _check_names(operation, self._from_request, serving.resources.keys())
        if inspect.iscoroutinefunction(self._function):
            raise ContractError(f"{_name(operation)} has an async handler; handlers are def, and may be nonblocking")
        if self.nonblocking and (waits_for := asks_for & {"db", *serving.lanes}):
            raise ContractError(f"{_name(operation)} is nonblocking, but would wait for {', '.join(sorted(waits_for))}")

    def __call__(self, **_: object) -> flask.Response:
        """The same, as Flask calls it."""
        return as_response(self.reply(flask.request.environ["asgi.scope"]))

    def reply(self, scope: Scope) -> Reply:
        """What the handler has to say; `scope` has what the layers before left in its context."""
        context = scope["extensions"][CONTEXT]
        arguments = {name: context[name] for name in self._from_request}
        if self._wants_client:
            arguments["client"] = client_of(scope)
        if not self._wants_db:
            return self._reply(self._function(**arguments, **self._resources))
        for pause in _PAUSES:
            try:
                return self._transact(arguments)
            except ApiError as error:
                if not error.repeatable:
                    raise
            # Those who were in each other's way do not meet again.
            sleep(uniform(pause / 2, pause))  # noqa: S311 - chance is enough
        return self._transact(arguments)

    def _transact(self, arguments: dict[str, Any]) -> Reply:
        with self._transaction() as db:
            return self._reply(self._function(db=db, **arguments, **self._resources))

    def _reply(self, result: Any) -> Reply:
        body, more = result if isinstance(result, tuple) else (result, ())
        headers = raw_headers(more.items() if isinstance(more, Mapping) else more)
        if self._shape is None:
            # Only an answer that says it has no content (RFC 9110, section 8.6) has no length either.
            return Reply(self._status, headers if self._status == 204 else [_EMPTY, *headers], b"")
        # json takes 12 us more, in a server that serves.
        text = orjson.dumps(self._shape(body), option=_ONLY_JSON)
        length = (b"content-length", b"%d" % len(text))
        return Reply(self._status, [self._content_type, length, *headers], text)


def _check_names(operation: AbstractOperation, asked_for: Set[str], resources: Set[str]) -> None:
    offered = _offered(operation)
    if unknown := asked_for - offered:
        names = ", ".join(sorted(unknown))
        raise ContractError(f"{_name(operation)} does not offer what its handler asks for: {names}")
    if clash := resources & (offered | _GIVEN):
        raise ContractError(f"{_name(operation)} gives another meaning to the resource {', '.join(sorted(clash))}")


def _name(operation: AbstractOperation) -> str:
    return str(operation.operation_id.rpartition(".")[2])


def _offered(operation: AbstractOperation) -> set[str]:
    names = {parameter["name"] for parameter in operation.parameters}
    if operation.is_request_body_defined:
        names.add("body")
    if operation.security:
        names.add("identity")
    return names
