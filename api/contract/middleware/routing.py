"""Match the method and the path to an operation of the contract. All other requests get a 404 or 405."""

from collections import defaultdict
from typing import Any, NamedTuple
from urllib.parse import unquote

from connexion.middleware.abstract import ROUTING_CONTEXT
from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.document.model import Contract
from api.contract.document.operation import Operation
from api.contract.http.scope import set_operation
from api.errors import MethodNotAllowed, UnknownPath


def next_app(app: Any, operation_id: str) -> ASGIApp:
    """Return the endpoint of an operation in the next layer.

    Layers call this when they are built, because a lookup in every layer would cost 8 us for each request.
    """
    return app.operations[operation_id]  # type: ignore[no-any-return]


class RouteMatch(NamedTuple):
    """The operation that a request matches, and the text of each path parameter."""

    operation: Operation
    parameters: dict[str, str]


class Router:
    """The paths of a contract, matched exactly: no redirects, no stripped slashes, no encoded slashes."""

    def __init__(self, contract: Contract) -> None:
        paths: dict[str, dict[str, Operation]] = defaultdict(dict)
        for operation in contract.operations():
            paths[operation.path][operation.method.upper()] = operation
        self._concrete: dict[bytes, dict[str, Operation]] = {}
        self._templates: dict[int, list[tuple[list[str], dict[str, Operation]]]] = defaultdict(list)
        for path, methods in paths.items():
            if "GET" in methods:
                methods.setdefault("HEAD", methods["GET"])
            segments = path.split("/")
            self._templates[len(segments)].append((segments, methods))
            if "{" not in path:
                self._concrete[path.encode()] = methods
        for candidates in self._templates.values():
            # OpenAPI 3.0, Path Templating: concrete paths come before templated ones.
            candidates.sort(key=lambda candidate: [segment.startswith("{") for segment in candidate[0]])

    def find(self, method: str, raw_path: bytes) -> RouteMatch:
        """Return the operation for a method and an undecoded path. Raises UnknownPath or MethodNotAllowed."""
        # Most requests match a concrete path literally: the lookup saves a search of 15 us.
        methods = self._concrete.get(raw_path)
        parameters: dict[str, str] = {}
        if methods is None:
            methods, parameters = self._search(raw_path)
        if method not in methods:
            raise MethodNotAllowed(methods)
        return RouteMatch(methods[method], parameters)

    def _search(self, raw_path: bytes) -> tuple[dict[str, Operation], dict[str, str]]:
        try:
            segments = [unquote(segment, errors="strict") for segment in raw_path.decode("ascii").split("/")]
        except UnicodeDecodeError:
            raise UnknownPath() from None
        for template, methods in self._templates[len(segments)]:
            parameters = _parameters(template, segments)
            if parameters is not None:
                return methods, parameters
        raise UnknownPath()


def _parameters(template: list[str], segments: list[str]) -> dict[str, str] | None:
    parameters = {}
    for expected, given in zip(template, segments, strict=True):
        if expected.startswith("{"):
            if not given or "/" in given:
                return None
            parameters[expected[1:-1]] = given
        elif expected != given:
            return None
    return parameters


class RoutingMiddleware:
    """Stores the matched operation in the scope, for the later layers."""

    def __init__(self, app: ASGIApp, routes: Router, handlers: str) -> None:
        self.app = app
        self._routes = routes
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            operation, parameters = self._routes.find(scope["method"], scope["raw_path"])
            scope["path_params"] = parameters
            set_operation(scope, operation)
            address = operation.address(self._handlers)
            scope["extensions"][ROUTING_CONTEXT] = {"api_base_path": "", "operation_id": address}
        await self.app(scope, receive, send)
