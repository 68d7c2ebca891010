"""Responses to the preflight requests of browsers (CORS), with the methods that the contract has."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.http.cors import Cors
from api.contract.http.response import Response, respond
from api.contract.http.scope import fields_of
from api.contract.middleware.routing import Router


class PreflightMiddleware:
    """Responds to preflight requests. All other requests go to the next layer.

    A preflight request of an origin that is not allowed gets the same status, so it reveals nothing.
    """

    def __init__(self, app: ASGIApp, routes: Router, cors: Cors) -> None:
        self.app = app
        self._routes = routes
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            await self.app(scope, receive, send)
            return
        fields = fields_of(scope)
        if b"origin" not in fields or b"access-control-request-method" not in fields:
            await self.app(scope, receive, send)
            return
        headers = self._cors.preflight(fields[b"origin"], self._routes.methods(scope["raw_path"]))
        await respond(send, Response(204, headers, b""))
