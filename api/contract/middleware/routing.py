"""Match the method and the path to an operation of the contract. All other requests get a 404 or 405."""

import re
from collections import defaultdict
from typing import Any, NamedTuple
from urllib.parse import unquote

from connexion.middleware.abstract import ROUTING_CONTEXT
from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.document.model import Contract, ContractError
from api.contract.document.operation import Operation, base_path
from api.contract.http.scope import set_operation
from api.errors import MethodNotAllowed, UnknownPath


def next_app(app: Any, operation_id: str) -> ASGIApp:
    """Return the endpoint of an operation in the next layer.

    Layers call this when they are built, because a lookup in every layer would cost 8 us for each request.
    """
    return app.operations[operation_id]  # type: ignore[no-any-return]


class RouteMatch(NamedTuple):
    """The operation that a request matches, and the text of each path parameter, also before it was decoded."""

    operation: Operation
    parameters: dict[str, str]
    raw: dict[str, str]


class _Endpoint(NamedTuple):
    """An operation and the names of its placeholders, in the order of the path."""

    operation: Operation
    names: list[str]


class _Template:
    """A path with placeholders, and its operations by method. The names of the placeholders may differ by method."""

    def __init__(self, path: str) -> None:
        # Each segment is its fixed texts: those before, between and after the placeholders.
        self._segments = [re.split("{[^{}]*}", segment) for segment in path.split("/")]
        self.methods: dict[str, _Endpoint] = {}
        if any("" in fixed[1:-1] for fixed in self._segments):
            raise ContractError(f"{path}: a text must separate two placeholders")

    @property
    def order(self) -> list[tuple[bool, int]]:
        """The sort key. OpenAPI 3.0, Path Templating: concrete paths come before templated ones."""
        return [(len(fixed) > 1, -sum(map(len, fixed))) for fixed in self._segments]

    def match(self, segments: list[str]) -> list[str] | None:
        """Return the texts of the placeholders, or None if the path does not match."""
        found: list[str] = []
        for fixed, given in zip(self._segments, segments, strict=True):
            if len(fixed) == 1:
                if fixed[0] != given:
                    return None
                continue
            texts = _between(fixed, given)
            if texts is None or "/" in given:
                return None
            found += texts
        return found


def _between(fixed: list[str], given: str) -> list[str] | None:
    """Return the texts between fixed ones. Earlier placeholders take as much as they can, and none is empty."""
    first, *middle, last = fixed
    if len(given) < len(first) + len(last) or not (given.startswith(first) and given.endswith(last)):
        return None
    start, end = len(first), len(given) - len(last)
    texts = []
    for separator in reversed(middle):
        # Each placeholder needs at least one character.
        position = given.rfind(separator, start, end - 1)
        if position < 0:
            return None
        texts.append(given[position + len(separator) : end])
        end = position
    texts.append(given[start:end])
    return texts[::-1] if all(texts) else None


def _undecoded(template: _Template, segments: list[str], texts: list[str]) -> list[str]:
    """Return the texts of the placeholders before decoding, or none if the client has encoded a fixed text."""
    raw = template.match(segments) or []
    return raw if list(map(unquote, raw)) == texts else []


class Router:
    """The paths of a contract, matched exactly: no redirects, no stripped slashes, no encoded slashes.

    `prefix` is the path of the contract's first server.
    """

    def __init__(self, contract: Contract) -> None:
        self.prefix = base_path((contract.document.get("servers") or [{}])[0])
        self._concrete: dict[bytes, dict[str, Operation]] = {}
        templates: dict[str, _Template] = {}
        for operation in contract.operations():
            path = operation.route
            if "{" in path.removesuffix(operation.path):
                raise ContractError(f"{operation.id}: the URL of the server has a variable without a default")
            template = templates.setdefault(re.sub("{[^{}]*}", "{}", path), _Template(path))
            endpoint = _Endpoint(operation, re.findall("{([^{}]*)}", path))
            taken = template.methods.setdefault(operation.method.upper(), endpoint).operation
            if taken is not operation:
                raise ContractError(f"{operation.id} and {taken.id} have the same method and path")
        self._templates: dict[int, list[_Template]] = defaultdict(list)
        for shape, template in templates.items():
            if "GET" in template.methods:
                template.methods.setdefault("HEAD", template.methods["GET"])
            self._templates[shape.count("/")].append(template)
            if "{" not in shape:
                self._concrete[shape.encode()] = {name: found.operation for name, found in template.methods.items()}
        for candidates in self._templates.values():
            candidates.sort(key=lambda template: template.order)

    def find(self, method: str, raw_path: bytes) -> RouteMatch:
        """Return the operation for a method and an undecoded path. Raises UnknownPath or MethodNotAllowed."""
        # Most requests match a concrete path literally: the lookup saves a search of 15 us.
        methods = self._concrete.get(raw_path)
        if methods is None:
            return self._search(method, raw_path)
        if method not in methods:
            raise MethodNotAllowed(methods)
        return RouteMatch(methods[method], {}, {})

    def methods(self, raw_path: bytes) -> list[str]:
        """Return the methods of a path. An unknown path has none."""
        try:
            # No operation has this method.
            self.find("", raw_path)
        except MethodNotAllowed as error:
            return error.allowed
        except UnknownPath:
            pass
        return []

    def _search(self, method: str, raw_path: bytes) -> RouteMatch:
        try:
            undecoded = raw_path.decode("ascii").split("/")
            segments = [unquote(segment, errors="strict") for segment in undecoded]
        except UnicodeDecodeError:
            raise UnknownPath() from None
        for template in self._templates[len(segments) - 1]:
            texts = template.match(segments)
            if texts is not None:
                if method not in template.methods:
                    raise MethodNotAllowed(template.methods)
                operation, names = template.methods[method]
                raw = texts if undecoded == segments else _undecoded(template, undecoded, texts)
                return RouteMatch(operation, dict(zip(names, texts, strict=True)), dict(zip(names, raw, strict=False)))
        raise UnknownPath()


class RoutingMiddleware:
    """Stores the matched operation in the scope, for the later layers."""

    def __init__(self, app: ASGIApp, routes: Router, handlers: str) -> None:
        self.app = app
        self._routes = routes
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            found = self._routes.find(scope["method"], scope["raw_path"])
            operation, scope["path_params"], scope["raw_path_params"] = found
            set_operation(scope, operation)
            address = operation.address(self._handlers)
            scope["extensions"][ROUTING_CONTEXT] = {"api_base_path": "", "operation_id": address}
        await self.app(scope, receive, send)
