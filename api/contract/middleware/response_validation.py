"""Check every response against the contract, including the errors of all layers, and log each violation."""

import logging
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.contract.middleware.docs import is_docs
from api.contract.middleware.routing import Router
from api.contract.schema.response_schema import ELSEWHERE, ResponseSpecs
from api.contract.schema.schemas import Schemas
from api.errors import MethodNotAllowed, NotFound

_log = logging.getLogger("charter.contract")


class ResponseValidationMiddleware:
    """The outermost layer. It logs each violation as an error and never changes the response."""

    def __init__(self, app: ASGIApp, routes: Router, schemas: Schemas) -> None:
        self.app = app
        self._routes = routes
        self._responses = ResponseSpecs(schemas)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = _ResponseCollector(send)
        await self.app(scope, receive, sent.send)
        if not sent.is_whole or is_docs(scope["path"], self._routes.prefix):
            return
        name = self._name_of(scope)
        for violation in self._violations(name, scope, sent):
            facts = {"method": scope["method"], "path": scope["path"], "status": sent.status, "violation": violation}
            _log.error("contract_violation", extra={"facts": {"operation": name, **facts}})

    def _name_of(self, scope: Scope) -> str:
        try:
            return self._routes.find(scope["method"], scope["raw_path"]).operation.id
        except (NotFound, MethodNotAllowed):
            return ELSEWHERE

    def _violations(self, name: str, scope: Scope, sent: "_ResponseCollector") -> Iterable[str]:
        response = self._responses.find(name, sent.status)
        if response is None:
            return [f"{name} does not declare the status {sent.status}"]
        return response.violations(sent.headers, sent.body, has_body=scope["method"] != "HEAD" and not sent.is_streamed)


class _ResponseCollector:
    """Collects a response from its ASGI messages and passes the messages on to the client.

    The body of a streamed response is not collected, because it may have any size.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.is_streamed = False
        self.is_whole = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = message["headers"]
        elif message["type"] == "http.response.body":
            self.is_whole = not message.get("more_body", False)
            self.is_streamed = self.is_streamed or not self.is_whole
            self.body = b"" if self.is_streamed else message.get("body", b"")
        await self._send(message)
