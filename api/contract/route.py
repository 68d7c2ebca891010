"""From method and path to an operation of the contract; everything else is 404 or 405."""

from collections import defaultdict
from typing import Any
from urllib.parse import unquote

from connexion.middleware.abstract import ROUTING_CONTEXT, SpecMiddleware
from connexion.spec import Specification
from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.load import METHODS
from api.errors import MethodNotAllowed, NotFound

Methods = dict[str, str]
"""Operation ids by HTTP method."""


class Route(SpecMiddleware):
    """Matches the path exactly, segment by segment: no redirect, no stripped slash, no encoded slash."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.templates: dict[int, list[tuple[list[str], Methods]]] = defaultdict(list)

    def add_api(self, specification: Specification, **_: Any) -> None:
        for path, item in specification["paths"].items():
            methods = {
                method.upper(): f"{operation['x-openapi-router-controller']}.{operation['operationId']}"
                for method, operation in item.items()
                if method in METHODS
            }
            if "GET" in methods:
                methods.setdefault("HEAD", methods["GET"])
            segments = path.split("/")
            self.templates[len(segments)].append((segments, methods))
        for candidates in self.templates.values():
            # OpenAPI 3.0, Path Templating: concrete paths come before templated ones.
            candidates.sort(key=lambda candidate: [segment.startswith("{") for segment in candidate[0]])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        methods, parameters = self._find(scope["raw_path"])
        operation_id = methods.get(scope["method"])
        if operation_id is None:
            raise MethodNotAllowed(methods)
        scope["path_params"] = parameters
        scope["extensions"][ROUTING_CONTEXT] = {"api_base_path": "", "operation_id": operation_id}
        await self.app(scope, receive, send)

    def _find(self, raw_path: bytes) -> tuple[Methods, dict[str, str]]:
        try:
            segments = [unquote(segment, errors="strict") for segment in raw_path.decode("ascii").split("/")]
        except UnicodeDecodeError:
            raise NotFound() from None
        for template, methods in self.templates[len(segments)]:
            parameters = _match(template, segments)
            if parameters is not None:
                return methods, parameters
        raise NotFound()


def _match(template: list[str], segments: list[str]) -> dict[str, str] | None:
    parameters = {}
    for expected, given in zip(template, segments, strict=True):
        if expected.startswith("{"):
            if not given or "/" in given:
                return None
            parameters[expected[1:-1]] = given
        elif expected != given:
            return None
    return parameters
