"""Call the handler of an operation with the arguments that it declares, and serialize its result by the contract."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from difflib import get_close_matches
from random import SystemRandom
from time import sleep
from typing import Any, TypeVar

from starlette.types import Scope
from werkzeug.wrappers import Response as WsgiResponse

from api.contract.dispatch.replies import AnyResponse, InvalidResult, Medium, Replies
from api.contract.document.arguments import argument_names
from api.contract.document.model import ContractError
from api.contract.document.operation import Operation
from api.contract.http.client import client_of
from api.contract.http.scope import accept_of, arguments_of
from api.contract.schema.json_values import NotSerializable
from api.contract.schema.serializer import Serializers
from api.errors import ApiError
from api.runtime.executor import Executor

# It has no state, so it changes no sequence of random numbers that another thread has seeded.
_uniform = SystemRandom().uniform
Handler = TypeVar("Handler", bound=Callable[..., Any])
Transaction = Callable[[], AbstractContextManager[Any]]
"""Opens the `db` argument of a handler. Leaving the context commits, raising rolls back."""


@dataclass(frozen=True)
class HandlerResources:
    """The resources that handlers may declare as parameters, in addition to those of the request.

    `executors` holds the executors of `@runs_in` by name. `bound` maps a resource to the one in which it must be used.
    `before_transaction` gets the operation and the `User-Agent`, in the thread and the context of the handler.
    """

    transaction: Transaction
    resources: Mapping[str, Any]
    executors: Mapping[str, Executor] = field(default_factory=dict)
    bound: Mapping[str, str] = field(default_factory=dict)
    before_transaction: Callable[[str, str], None] | None = None


# The longest pause in seconds before each retry of a handler.
_RETRY_DELAYS = (0.02, 0.1)
# The results that name more than a body.
_EXPLICIT = (tuple, WsgiResponse)
# Parameters that a handler may declare for any operation.
_BUILT_IN = {"client", "db"}


def nonblocking(handler: Handler) -> Handler:
    """Mark a handler that never waits for a database, a file or another service. It runs on the event loop.

    A marked handler that waits blocks all requests of its process.
    """
    handler.nonblocking = True  # type: ignore[attr-defined]
    return handler


def runs_in(executor: str) -> Callable[[Handler], Handler]:
    """Mark a handler that runs in the named executor, because it uses a resource that is bound to that executor."""

    def mark(handler: Handler) -> Handler:
        handler.runs_in = executor  # type: ignore[attr-defined]
        return handler

    return mark


class HandlerView:
    """The handler of one operation, prepared once.

    A handler may declare `body`, any parameter of the operation by its name in Python, `identity`, `client`, `db`,
    `media_type` and resources. It returns `body`, `(body, status)`, `(body, headers)`, `(body, status, headers)` or a
    response of Flask. A plain body gets the first 2xx status that the contract declares. The contract determines the
    members of the body and its media type, which `Accept` chooses if there are several. An iterator becomes a streamed
    response in all media types but JSON.

    A handler with `db` is called up to three times if its transaction conflicts with others. The transaction ends
    before the response begins, so only the code of an iterator up to its first chunk can use `db`.
    """

    def __init__(
        self, operation: Operation, function: Callable[..., Any], serving: HandlerResources, serializers: Serializers
    ) -> None:
        self.operation = operation
        self._replies = Replies(operation, serializers)
        self._usual = self._replies.usual
        media = self._usual[1].media if self._usual else []
        self._only = media[0] if len(media) == 1 else None
        self._function = function
        self._transaction = serving.transaction
        self._before_transaction = serving.before_transaction
        parameters = set(inspect.signature(self._function).parameters)
        self._resources = {name: value for name, value in serving.resources.items() if name in parameters}
        # A parameter of the operation comes before the media type of the response.
        self._wants_media_type = "media_type" in parameters - _offered(operation)
        unnamed = {"media_type"} if self._wants_media_type else set()
        self._from_request = parameters - self._resources.keys() - _BUILT_IN - unnamed
        self._wants_client = "client" in parameters
        self._wants_db = "db" in parameters
        self.nonblocking: bool = getattr(self._function, "nonblocking", False)
        _check_names(operation, function, self._from_request, serving.resources.keys())
        _check_place(operation, function, parameters, serving.bound)
        marked = getattr(self._function, "runs_in", None)
        self.executor = None if marked is None else serving.executors[marked]

    def __call__(self, scope: Scope) -> AnyResponse:
        """Call the handler with arguments from the context in `scope`, and return its response.

        Raises NotAcceptable if the client accepts none of several media types, before the handler is called.
        """
        offered = arguments_of(scope)
        arguments = {name: offered[name] for name in self._from_request}
        if self._wants_client:
            arguments["client"] = client_of(scope)
        medium = self._only or self._chosen(scope)
        if self._wants_media_type:
            arguments["media_type"] = medium.name if medium else None
        if not self._wants_db:
            return self._response(self._function(**arguments, **self._resources), medium)
        if self._before_transaction is not None:
            self._before_transaction(self.operation.id, client_of(scope).user_agent)
        for pause in _RETRY_DELAYS:
            try:
                return self._transact(arguments, medium)
            except ApiError as error:
                if not error.retryable:
                    raise
            # The random pause keeps conflicting transactions from colliding again.
            sleep(_uniform(pause / 2, pause))
        return self._transact(arguments, medium)

    def _chosen(self, scope: Scope) -> Medium | None:
        return self._usual[1].choose(accept_of(scope)) if self._usual else None

    def _transact(self, arguments: dict[str, Any], medium: Medium | None) -> AnyResponse:
        with self._transaction() as db:
            return self._response(self._function(db=db, **arguments, **self._resources), medium)

    def _response(self, result: Any, medium: Medium | None) -> AnyResponse:
        try:
            if self._usual is None or isinstance(result, _EXPLICIT):
                return self._replies.respond(result, medium)
            status, reply = self._usual
            return reply.respond(status, result, medium)
        except (InvalidResult, NotSerializable) as error:
            raise InvalidResult(f"{self.operation.id}: {error}") from None


def _check_place(
    operation: Operation, function: Callable[..., Any], parameters: Set[str], bound: Mapping[str, str]
) -> None:
    """Check that the marks of a handler say where it runs. Raises ContractError if they do not fit its parameters."""
    if inspect.iscoroutinefunction(function):
        raise ContractError(f"{operation.id} has an async handler; use def, or def with @nonblocking")
    if getattr(function, "nonblocking", False) and (waits_for := parameters & {"db", *bound}):
        raise ContractError(f"{operation.id} is nonblocking, but would wait for {', '.join(sorted(waits_for))}")
    needed = {bound[name] for name in parameters & bound.keys()}
    marked = {function.runs_in} if hasattr(function, "runs_in") else set()
    if needed != marked:
        marks = " and ".join(f'@runs_in("{name}")' for name in sorted(needed)) or "no @runs_in"
        raise ContractError(f"the resources of the handler require {marks}")


def _check_names(operation: Operation, function: Callable[..., Any], asked_for: Set[str], resources: Set[str]) -> None:
    offered = _offered(operation)
    if unknown := sorted(asked_for - offered):
        allowed = sorted({*offered, *resources, *_BUILT_IN, "media_type"})
        nearest = [near for name in unknown for near in get_close_matches(name, allowed, 1, 0.75)]
        hint = f"did you mean {', '.join(nearest)}?" if nearest else f"it can take {', '.join(allowed)}"
        file = f"{function.__module__.replace('.', '/')}.py"
        raise ContractError(f"unknown parameters of the handler: {', '.join(unknown)} in {file}; {hint}")
    if clash := resources & (offered | _BUILT_IN):
        raise ContractError(f"name already in use by a resource: {', '.join(sorted(clash))}")


def ignored_by(operation: Operation, function: Callable[..., Any]) -> Iterator[str]:
    """Yield a message for each parameter of an operation, and for a body, that its handler does not take."""
    taken = inspect.signature(function).parameters
    for (place, name), argument in argument_names(operation).items():
        if argument not in taken:
            yield f"the handler ignores the {place} parameter {name!r}; it must take {argument}"
    if operation.body and "body" not in taken:
        yield "the handler ignores the request body; it must take body"


def _offered(operation: Operation) -> set[str]:
    names = set(argument_names(operation).values())
    if operation.body:
        names.add("body")
    if operation.security:
        names.add("identity")
    return names
