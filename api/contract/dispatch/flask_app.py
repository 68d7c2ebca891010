"""Flask with a request context that is built only when a handler reads it."""

import sys
from collections.abc import Callable
from functools import cache, cached_property, lru_cache, partial
from io import BytesIO
from typing import Any

import flask
from flask import signals
from flask.ctx import AppContext, RequestContext
from flask.globals import _cv_app, _cv_request
from flask.sessions import NullSession, SessionInterface
from starlette.types import Scope
from werkzeug.routing import MapAdapter, Rule

from api.contract.dispatch.replies import AnyResponse, from_flask
from api.contract.http.response import Response, StreamedResponse
from api.contract.http.scope import body_of, operation_of

View = Callable[[Scope], AnyResponse]
"""Returns the response of an operation to the request of a scope."""


class PlainResponse(flask.Response):
    """A response without a default Content-Type."""

    default_mimetype = None


class _NoSession(SessionInterface):
    """Disables the cookie sessions of Flask, because tokens identify the caller."""

    def open_session(self, app: flask.Flask, request: flask.Request) -> NullSession:
        return _NULL_SESSION

    def is_null_session(self, obj: object) -> bool:
        return True


_NULL_SESSION = NullSession()


class _LazyRule(Rule):
    """A rule that compiles its functions for `flask.url_for` on their first use. They take 0.3 ms for each rule."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled = cache(partial(super()._compile_builder, append_unknown))

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            return compiled()(rule, **values)

        return build


class ContractFlask(flask.Flask):
    """A Flask application that lets all errors through, because the edge formats them.

    A step of Flask for which no function is registered does nothing. Flask's own step would build the request first.
    """

    response_class = PlainResponse
    url_rule_class = _LazyRule
    session_interface = _NoSession()

    def __init__(self, import_name: str) -> None:
        super().__init__(import_name, static_folder=None)
        self.config.update(PROPAGATE_EXCEPTIONS=True, TRAP_HTTP_EXCEPTIONS=True)

    def preprocess_request(self) -> Any:
        return super().preprocess_request() if self.url_value_preprocessors or self.before_request_funcs else None

    def handle_user_exception(self, e: Exception) -> Any:
        if not self.error_handler_spec:
            raise e
        return super().handle_user_exception(e)

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        if self.teardown_request_funcs or signals.request_tearing_down.receivers:
            super().do_teardown_request(exc)

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        if self.teardown_appcontext_funcs or signals.appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(exc)

    def notify(self, signal: Any) -> None:
        """Send a signal, if a function is connected to it."""
        if signal.receivers:
            signal.send(self, _async_wrapper=self.ensure_sync)

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter:
        return self._addresses

    @cached_property
    def _addresses(self) -> MapAdapter:
        # Built once: an adapter for each request costs 10 us and adds only the Host, which is untrusted.
        return self.url_map.bind("")


class LazyRequestContext(RequestContext):
    """The context behind `flask.request`, `g` and `current_app`, which builds the request on first access.

    Most handlers never read the request, and Flask's own way to push, dispatch and pop costs 44 us.
    """

    app: ContractFlask

    def __init__(self, app: ContractFlask, scope: Scope, rule: Rule) -> None:
        self.app = app
        self.url_adapter = app.create_url_adapter(None)
        self.flashes = None
        self._scope = scope
        self._rule = rule
        self._session = _NULL_SESSION
        self._after_request_functions: list[Any] = []
        self._pushed: list[Any] = []

    @cached_property
    def request(self) -> flask.Request:  # type: ignore[override]
        request = self.app.request_class(environ_of(self._scope))
        # Set here, because matching the path again costs 20 us.
        request.url_rule, request.view_args = self._rule, self._scope["path_params"]
        return request

    def push(self) -> None:
        # A stream that Flask runs in this context pushes the context again, although it is current already.
        self._pushed.append(None if _cv_request.get(None) is self else self._enter())

    def pop(self, exc: BaseException | None = None) -> None:
        tokens = self._pushed.pop()
        if tokens is not None:
            self._leave(tokens, exc)

    def _enter(self) -> Any:
        tokens = _cv_app.set(AppContext(self.app)), _cv_request.set(self)
        self.app.notify(signals.appcontext_pushed)
        return tokens

    def _leave(self, tokens: Any, exc: BaseException | None) -> None:
        app_token, request_token = tokens
        try:
            self.app.do_teardown_request(exc)
        finally:
            _cv_request.reset(request_token)
            try:
                self.app.do_teardown_appcontext(exc)
            finally:
                _cv_app.reset(app_token)
        self.app.notify(signals.appcontext_popped)

    def call(self, view: View) -> AnyResponse:
        """Return the response of the view, with the hooks, signals and error handlers of Flask around the view.

        The steps and their order are those of `flask.Flask.wsgi_app`. The edge handles errors that have no handler, so
        the signal `got_request_exception` is not sent.
        """
        tokens, failure = self._enter(), None
        try:
            return self._finalize(self._dispatch(view))
        except BaseException as error:
            failure = error
            raise
        finally:
            self._leave(tokens, failure)

    def _dispatch(self, view: View) -> Any:
        try:
            self.app.notify(signals.request_started)
            early = self.app.preprocess_request()
            return view(self._scope) if early is None else early
        except Exception as error:
            return self.app.handle_user_exception(error)

    def _finalize(self, result: Any) -> AnyResponse:
        after = self._after_request_functions or self.app.after_request_funcs or signals.request_finished.receivers
        if isinstance(result, Response | StreamedResponse):
            if not after:
                return result
            result = _as_flask_response(result)
        return from_flask(self.app.finalize_request(result))


def _as_flask_response(response: AnyResponse) -> flask.Response:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
    if isinstance(response, Response):
        return PlainResponse(response.body or None, response.status, headers)
    made = PlainResponse(iter(response.next, None), response.status, headers)
    made.call_on_close(response.close)
    return made


def environ_of(scope: Scope) -> dict[str, Any]:
    """Return the request as a WSGI environment (PEP 3333), for `flask.request`.

    Headers that only concern the connection are left out, and so is Host, because it is untrusted.
    """
    body, operation = body_of(scope), operation_of(scope)
    environ = {
        "asgi.scope": scope,
        "CONTENT_LENGTH": str(len(body)),
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    # A range would refer to the bytes of a file, but of JSON only the declared members leave.
    ignored = _OF_THE_CONNECTION | (_OF_RANGES if operation is not None and operation.sends_json else set())
    for name, value in scope["headers"]:
        if name not in ignored:
            environ[_variable(name)] = value.decode("latin-1")
    return environ


_OF_RANGES = {b"if-range", b"range"}
_OF_THE_CONNECTION = {b"connection", b"content-length", b"host", b"transfer-encoding", b"upgrade"}


@lru_cache(1024)
def _variable(header: bytes) -> str:
    name = header.decode("latin-1").upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"
