"""From an operation to a function: call the handler on Flask, and cut what it returns to the contract."""

import inspect
import json
from collections.abc import Callable, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

import flask
from a2wsgi.wsgi import build_environ
from connexion.apps.flask import FlaskApi
from connexion.middleware.abstract import SpecMiddleware
from connexion.operations import AbstractOperation
from connexion.spec import Specification
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send
from werkzeug.wrappers import Response

from api.contract.client import client_of
from api.contract.document import ContractError, success
from api.contract.edge import respond
from api.contract.shape import shaper

Transaction = Callable[[], AbstractContextManager[Any]]
"""Opens what a handler gets as `db`: leaving it commits, raising rolls back."""


@dataclass(frozen=True)
class Serving:
    """What handlers can ask for by name, beside what the request brings."""

    transaction: Transaction
    resources: Mapping[str, Any]


# What a handler gets whatever its operation says.
_GIVEN = {"client", "db"}


class View:
    """One operation's handler, made ready once.

    The handler names what it needs: `body`, a parameter, `identity`, `client`, `db`, or a resource. It returns the body
    of the operation's one 2xx answer, or (body, headers); the status and the members are the contract's.
    """

    def __init__(self, operation: AbstractOperation, serving: Serving) -> None:
        status = success({"responses": operation.responses})
        content = operation.responses[status].get("content", {})
        self._status = int(status)
        self._media_type = next(iter(content), None)
        self._shape = shaper(content[self._media_type].get("schema", {})) if self._media_type else None
        self._function = operation.function
        self._transaction = serving.transaction
        self._asks_for = set(inspect.signature(self._function).parameters)
        self._resources = {name: value for name, value in serving.resources.items() if name in self._asks_for}
        self._from_request = self._asks_for - self._resources.keys() - _GIVEN
        _check_names(operation, self._from_request, serving.resources.keys())

    def __call__(self, **_: object) -> flask.Response:
        scope = flask.request.environ["asgi.scope"]
        context = scope["extensions"]["connexion_context"]
        arguments = {name: context[name] for name in self._from_request} | self._resources
        if "client" in self._asks_for:
            arguments["client"] = client_of(scope)
        if "db" not in self._asks_for:
            return self._respond(self._function(**arguments))
        with self._transaction() as db:
            return self._respond(self._function(db=db, **arguments))

    def _respond(self, result: Any) -> flask.Response:
        body, headers = result if isinstance(result, tuple) else (result, {})
        if self._shape is None:
            return Bare(status=self._status, headers=headers)
        text = json.dumps(self._shape(body), ensure_ascii=False, separators=(",", ":"))
        return flask.Response(text, self._status, headers, content_type=self._media_type)


class Bare(flask.Response):
    """An answer whose Content-Type nobody makes up."""

    default_mimetype = None


def _check_names(operation: AbstractOperation, asked_for: Set[str], resources: Set[str]) -> None:
    name, offered = operation.operation_id.rpartition(".")[2], _offered(operation)
    if unknown := asked_for - offered:
        raise ContractError(f"{name} does not offer what its handler asks for: {', '.join(sorted(unknown))}")
    if clash := resources & (offered | _GIVEN):
        raise ContractError(f"{name} gives another meaning to the resource {', '.join(sorted(clash))}")


def _offered(operation: AbstractOperation) -> set[str]:
    names = {parameter["name"] for parameter in operation.parameters}
    if operation.is_request_body_defined:
        names.add("body")
    if operation.security:
        names.add("identity")
    return names


class HandlerApi(FlaskApi):
    """Connexion's Flask routes, with a view made once where Connexion decorates the function at each request."""

    def __init__(self, *args: Any, serving: Serving, **kwargs: Any) -> None:
        self._serving = serving
        super().__init__(*args, **kwargs)

    def make_operation(self, operation: AbstractOperation) -> View:
        return View(operation, self._serving)


class Handlers(SpecMiddleware):
    """The Flask application at the heart of the stack."""

    def __init__(self, import_name: str) -> None:
        self.flask = flask.Flask(import_name, static_folder=None)
        # Errors leave Flask as they are: the edge gives all of them their shape.
        self.flask.config.update(PROPAGATE_EXCEPTIONS=True, TRAP_HTTP_EXCEPTIONS=True)

    def add_api(self, specification: Specification, **options: Any) -> HandlerApi:
        api = HandlerApi(specification, **options)
        self.flask.register_blueprint(api.blueprint)
        return api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await run_in_threadpool(self._call, scope)
        await respond(send, reply.status_code, reply.headers, reply.get_data())

    def _call(self, scope: Scope) -> Response:
        # The body has been read and parsed: handlers get it as `body`. What concerns the connection alone is not
        # Flask's business; Host is what a stranger wrote.
        # a2wsgi translates the request alone: its middleware would wait for bodies in ten threads of its own.
        environ: Any = build_environ(cast(Any, scope), cast(Any, BytesIO()))
        for name in ("HTTP_CONNECTION", "HTTP_HOST", "HTTP_UPGRADE"):
            environ.pop(name, None)
        # Werkzeug collects the whole answer in this thread, and keeps a header that is given twice.
        return Bare.from_app(self.flask.wsgi_app, environ, buffered=True)
