"""Call the handlers on Flask: from ASGI into a Flask request context and back, in one step."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from connexion.apps.flask import FlaskApi
from connexion.middleware.abstract import SpecMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.operations import AbstractOperation
from connexion.spec import Specification
from starlette.types import Receive, Scope, Send
from werkzeug.routing import Rule

from api.contract.dispatch.flask_app import ContractFlask, LazyRequestContext
from api.contract.dispatch.replies import AnyResponse
from api.contract.dispatch.view import HandlerResources, HandlerView
from api.contract.document.operation import Operation
from api.contract.http.response import Response, StreamedResponse, respond, stream
from api.contract.schema.schemas import Schemas
from api.contract.schema.serializer import Serializers
from api.runtime.executor import Executor
from api.runtime.thread_pool import ThreadPool

# Two pools: reads never queue behind writes that wait for the one write lock of SQLite.
_READING, _WRITING = 16, 8


class HandlerApi(FlaskApi):
    """Connexion's Flask routes, with views built once. Connexion would decorate the function for each request."""

    def __init__(
        self,
        *args: Any,
        operations: Mapping[str, Operation],
        schemas: Schemas,
        serving: HandlerResources,
        **kwargs: Any,
    ) -> None:
        self._operations = operations
        self._serializers = Serializers(schemas)
        self._serving = serving
        super().__init__(*args, **kwargs)

    def make_operation(self, operation: AbstractOperation) -> HandlerView:
        served = self._operations[operation.operation_id]
        return HandlerView(served, operation.function, self._serving, self._serializers)


class OperationEndpoint:
    """An operation that runs where it does not block other requests."""

    def __init__(self, app: ContractFlask, view: HandlerView, rule: Rule, executor: Executor) -> None:
        self._app = app
        self._view = view
        self._rule = rule
        self._executor = view.executor or executor
        self._streaming = executor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._view.nonblocking:
            response = self._call(scope)
        else:
            response = await self._executor.run(partial(self._call, scope))
        if isinstance(response, StreamedResponse):
            if scope["method"] != "HEAD":
                await stream(receive, send, response, self._streaming.run)
                return
            await self._streaming.run(response.close)
            response = Response(response.status, response.headers, b"")
        await respond(send, response)

    def _call(self, scope: Scope) -> AnyResponse:
        return LazyRequestContext(self._app, scope, self._rule).call(self._view)


class LifespanStep(LifespanMiddleware):
    """The innermost layer, which opens and closes the resources of the service. Requests bypass it."""

    @property
    def operations(self) -> dict[str, OperationEndpoint]:
        return self.next_app.operations  # type: ignore[no-any-return]


class HandlerDispatch(SpecMiddleware):
    """The Flask application, inside all layers."""

    def __init__(self, import_name: str) -> None:
        self.flask = ContractFlask(import_name)
        self._reading = ThreadPool("reading", _READING)
        self._writing = ThreadPool("writing", _WRITING)
        self.operations: dict[str, OperationEndpoint] = {}

    def add_api(self, specification: Specification, **options: Any) -> HandlerApi:
        api = HandlerApi(specification, **options)
        self.flask.register_blueprint(api.blueprint)
        for rule in self.flask.url_map.iter_rules():
            view: Any = self.flask.view_functions[rule.endpoint]
            executor = self._reading if "GET" in (rule.methods or ()) else self._writing
            self.operations[view.operation.address(self.flask.import_name)] = OperationEndpoint(
                self.flask, view, rule, executor
            )
        return api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do nothing. Requests go directly to the operations."""
