"""Call the handlers on Flask: from ASGI into a request context of Flask's and back, in one hop."""

from functools import partial
from typing import Any

from connexion.apps.flask import FlaskApi
from connexion.middleware.abstract import SpecMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.operations import AbstractOperation
from connexion.spec import Specification
from starlette.types import Receive, Scope, Send
from werkzeug.routing import Rule

from api.contract.flask import Application, Context
from api.contract.reply import Reply, respond
from api.contract.view import Lane, Serving, View
from api.threads import Threads

# Who only reads never waits behind those who wait for SQLite's one lock.
_READING, _WRITING = 16, 16


class HandlerApi(FlaskApi):
    """Connexion's Flask routes, with a view made once where Connexion decorates the function at each request."""

    def __init__(self, *args: Any, serving: Serving, **kwargs: Any) -> None:
        self._serving = serving
        super().__init__(*args, **kwargs)

    def make_operation(self, operation: AbstractOperation) -> View:
        return View(operation, self._serving)


class Served:
    """An operation, called where it holds up nobody."""

    def __init__(self, app: Application, view: View, rule: Rule, lane: Lane) -> None:
        self._app = app
        self._view = view
        self._rule = rule
        self._lane = view.lane or lane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._view.nonblocking:
            reply = self._call(scope)
        else:
            reply = await self._lane.run(partial(self._call, scope))
        await respond(send, reply)

    def _call(self, scope: Scope) -> Reply:
        context = Context(self._app, scope, self._rule)
        return context.call(self._view.reply) if self._app.is_bare() else context.dispatch()


class Lifetime(LifespanMiddleware):
    """Opens and closes what the service needs, innermost: what is asked of an operation goes past it."""

    @property
    def operations(self) -> dict[str, Served]:
        return self.next_app.operations  # type: ignore[no-any-return]


class Handlers(SpecMiddleware):
    """The Flask application at the heart of the stack."""

    def __init__(self, import_name: str) -> None:
        self.flask = Application(import_name)
        self._reading = Threads("reading", _READING)
        self._writing = Threads("writing", _WRITING)
        self.operations: dict[str, Served] = {}

    def add_api(self, specification: Specification, **options: Any) -> HandlerApi:
        api = HandlerApi(specification, **options)
        self.flask.register_blueprint(api.blueprint)
        for rule in self.flask.url_map.iter_rules():
            view: Any = self.flask.view_functions[rule.endpoint]
            lane = self._reading if "GET" in (rule.methods or ()) else self._writing
            self.operations[view.operation_id] = Served(self.flask, view, rule, lane)
        return api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Requests go to the operations; there is nothing to do for the rest."""
