"""The outermost layer: what must hold for every request, whatever it is and whichever server carries it."""

import logging
from collections.abc import Iterable
from time import perf_counter
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from api.contract import framing
from api.errors import InternalError, answer, as_api_error
from api.logs import note, request_facts

_LOGGED_PATH = 512

_log = logging.getLogger("charter.requests")


class Edge:
    """Gives each request an id and a scope of its own, each error its shape, each answer its headers and log line."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        request_facts.set(exchange.facts)
        try:
            framing.check(scope)
            await self.app(_private(scope), exchange.receive, exchange.send)
        except ClientGone:
            pass
        except Exception as error:
            await exchange.fail(error)
        finally:
            exchange.log()


def fixed_headers(request_id: str) -> dict[str, str]:
    """What every answer carries, whatever it is about."""
    return {
        "X-Request-ID": request_id,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }


class ClientGone(Exception):
    """Nobody is there to take the answer."""


def _private(scope: Scope) -> Scope:
    """A scope that no other request and no later byte changes.

    granian gives one dict of extensions to all requests of a worker, and Connexion keeps the caller in it.
    """
    extensions = {
        name: value for name, value in scope.get("extensions", {}).items() if not name.startswith("connexion_")
    }
    return {**scope, "headers": list(scope["headers"]), "extensions": extensions}


class _Exchange:
    """One request and its answer, as the edge sees them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._body_pending = framing.announces_body(scope["headers"])
        self.status: int | None = None
        self.started = perf_counter()
        client = scope.get("client") or (None,)
        self.facts: dict[str, Any] = {"request_id": str(uuid7()), "address": client[0]}

    async def receive(self) -> Message:
        message = await self._receive()
        self._body_pending = self._body_pending and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._add_headers(MutableHeaders(scope=message))
        elif self.scope["method"] == "HEAD":
            message = {**message, "body": b""}
        try:
            await self._send(message)
        except (OSError, RuntimeError):
            raise ClientGone() from None

    def _add_headers(self, headers: MutableHeaders) -> None:
        for name, value in fixed_headers(self.facts["request_id"]).items():
            headers.setdefault(name, value)
        if self._body_pending:
            # Nobody will read the rest of this body; a next request behind it could not be found.
            headers["Connection"] = "close"

    async def fail(self, error: Exception) -> None:
        """Answer with the error, unless an answer is already on its way: then the connection must break."""
        known = as_api_error(error)
        note(code=known.code)
        if known.status == InternalError.status:
            _log.error("unforeseen", exc_info=error)
        if self.status is not None:
            raise error
        status, headers, body = answer(known)
        await respond(self.send, status, [*headers.items(), ("Content-Length", str(len(body)))], body)

    def log(self) -> None:
        path = self.scope["path"][:_LOGGED_PATH]
        milliseconds = round((perf_counter() - self.started) * 1000, 1)
        facts = {"method": self.scope["method"], "path": path, "status": self.status, "ms": milliseconds}
        _log.info("request", extra={"facts": facts})


async def respond(send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    """Send a whole answer."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
