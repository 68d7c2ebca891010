"""From an operation to a function: call the handler on Flask, and cut what it returns to the contract."""

import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
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
from werkzeug.test import run_wsgi_app

from api.contract.load import ContractError, success
from api.contract.shape import shaper
from api.errors import Answer

Transaction = Callable[[], AbstractContextManager[Any]]
"""Opens what a handler gets as `db`: leaving it commits, raising rolls back."""


@dataclass(frozen=True)
class Serving:
    """What handlers can ask for by name, beside what the request brings."""

    transaction: Transaction
    resources: Mapping[str, Any] = field(default_factory=dict)


class View:
    """One operation's handler, made ready once.

    The handler names what it needs: `body`, a parameter, `identity`, `db`, or a resource. It returns the body of the
    operation's one 2xx answer, or (body, headers); the status and the members are the contract's.
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
        self._from_request = self._asks_for - self._resources.keys() - {"db"}
        unknown = self._from_request - _offered(operation)
        if unknown:
            raise ContractError(
                f"{operation.operation_id} does not offer what its handler asks for: {', '.join(unknown)}"
            )

    def __call__(self, **_: object) -> flask.Response:
        context = flask.request.environ["asgi.scope"]["extensions"]["connexion_context"]
        arguments = {name: context[name] for name in self._from_request} | self._resources
        if "db" not in self._asks_for:
            return self._respond(self._function(**arguments))
        with self._transaction() as db:
            return self._respond(self._function(db=db, **arguments))

    def _respond(self, result: Any) -> flask.Response:
        body, headers = result if isinstance(result, tuple) else (result, {})
        if self._shape is None:
            response = flask.Response(status=self._status, headers=headers)
            del response.headers["Content-Type"]
            return response
        text = json.dumps(self._shape(body), ensure_ascii=False, separators=(",", ":"))
        return flask.Response(text, self._status, headers, content_type=self._media_type)


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
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": reply.body})

    def _call(self, scope: Scope) -> Answer:
        # The body has been read and parsed: handlers get it as `body`. What concerns the connection alone is not
        # Flask's business; Host is what a stranger wrote.
        environ: Any = build_environ(cast(Any, scope), cast(Any, BytesIO()))
        for name in ("HTTP_CONNECTION", "HTTP_HOST", "HTTP_UPGRADE"):
            environ.pop(name, None)
        chunks, status, headers = run_wsgi_app(self.flask.wsgi_app, environ, buffered=True)
        return Answer(int(status.split(" ", 1)[0]), dict(headers), b"".join(chunks))
