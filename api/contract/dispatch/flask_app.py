"""Flask with a request context that is built only when a handler reads it."""

import sys
from collections.abc import Callable
from functools import cached_property, lru_cache
from io import BytesIO
from typing import Any

import flask
from flask import signals
from flask.ctx import AppContext, RequestContext
from flask.globals import _cv_app, _cv_request
from flask.sessions import NullSession, SessionInterface
from starlette.types import Scope
from werkzeug.routing import MapAdapter, Rule

from api.contract.http.response import Response, raw_headers
from api.contract.http.scope import body_of


class PlainResponse(flask.Response):
    """A response without a default Content-Type."""

    default_mimetype = None


class _NoSession(SessionInterface):
    """Disables the cookie sessions of Flask, because tokens identify the caller."""

    def open_session(self, app: flask.Flask, request: flask.Request) -> NullSession:
        return _NOBODY

    def is_null_session(self, obj: object) -> bool:
        return True


_NOBODY = NullSession()


class ContractFlask(flask.Flask):
    """A Flask application that lets all errors through, because the edge formats them."""

    response_class = PlainResponse
    session_interface = _NoSession()

    def __init__(self, import_name: str) -> None:
        super().__init__(import_name, static_folder=None)
        self.config.update(PROPAGATE_EXCEPTIONS=True, TRAP_HTTP_EXCEPTIONS=True)

    def has_no_hooks(self) -> bool:
        """Return True if no function is registered to run before, around or after a view."""
        before = self.before_request_funcs or self.url_value_preprocessors or self.error_handler_spec
        after = self.after_request_funcs or self.teardown_request_funcs or self.teardown_appcontext_funcs
        return not (before or after or _is_listened_to())

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter:
        return self._addresses

    @cached_property
    def _addresses(self) -> MapAdapter:
        # Built once: an adapter for each request costs 10 us and adds only the Host, which is untrusted.
        return self.url_map.bind("")


def _is_listened_to() -> bool:
    begin = signals.appcontext_pushed.receivers or signals.request_started.receivers
    end = signals.request_finished.receivers or signals.got_request_exception.receivers
    gone = signals.request_tearing_down.receivers or signals.appcontext_tearing_down.receivers
    return bool(begin or end or gone or signals.appcontext_popped.receivers)


class LazyRequestContext(RequestContext):
    """The context behind `flask.request`, `g` and `current_app`, which builds the request on first access.

    Most handlers use none of the three, and a context that Flask itself pushes and pops costs 44 us.
    """

    app: ContractFlask

    def __init__(self, app: ContractFlask, scope: Scope, rule: Rule) -> None:
        self.app = app
        self.url_adapter = app.create_url_adapter(None)
        self.flashes = None
        self._scope = scope
        self._rule = rule
        self._session = _NOBODY
        self._after_request_functions: list[Any] = []
        self._cv_tokens = []

    @cached_property
    def request(self) -> flask.Request:  # type: ignore[override]
        request = self.app.request_class(environ_of(self._scope))
        # Set here, because matching the path again costs 20 us.
        request.url_rule, request.view_args = self._rule, self._scope["path_params"]
        return request

    def match_request(self) -> None:
        """Do nothing, because the path is already matched."""

    def call_full(self) -> Response:
        """Call the view with the full processing of Flask around it and return the response."""
        with self:
            return _reply(self.app.full_dispatch_request())

    def call_fast(self, view: Callable[[Scope], Response]) -> Response:
        """Call the view directly and return its response. Use this only if `is_bare` returns True."""
        app, request = _cv_app.set(AppContext(self.app)), _cv_request.set(self)
        try:
            reply = view(self._scope)
            # The view itself may have registered functions with flask.after_this_request.
            late = self._after_request_functions
            return _reply(self.app.process_response(as_response(reply))) if late else reply
        finally:
            _cv_request.reset(request)
            _cv_app.reset(app)


def as_response(response: Response) -> flask.Response:
    """Return the response as an object of Flask."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
    return PlainResponse(response.body or None, response.status, headers)


def _reply(response: flask.Response) -> Response:
    return Response(response.status_code, raw_headers(response.headers), response.get_data())


def environ_of(scope: Scope) -> dict[str, Any]:
    """Return the request as a WSGI environment (PEP 3333), for `flask.request`.

    Headers that only concern the connection are left out, and so is Host, because it is untrusted.
    """
    body = body_of(scope)
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
    for name, value in scope["headers"]:
        if name not in _OF_THE_CONNECTION:
            environ[_variable(name)] = value.decode("latin-1")
    return environ


_OF_THE_CONNECTION = {b"connection", b"content-length", b"host", b"transfer-encoding", b"upgrade"}


@lru_cache(1024)
def _variable(header: bytes) -> str:
    name = header.decode("latin-1").upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"
