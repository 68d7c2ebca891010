"""The outermost layer: what must hold for every request, whatever it is and whichever server carries it."""

import logging
from collections import Counter
from time import perf_counter
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from api.errors import Answer, HeadersTooLarge, InternalError, MalformedRequest, answer
from api.logs import request_facts

HEADER_BYTES = 16 * 1024
_SINGLE_HEADERS = frozenset({b"authorization", b"content-length", b"content-type", b"host"})

_log = logging.getLogger("charter.requests")


class Edge:
    """Gives each request an id and a scope of its own, each error its shape, each answer its headers and log line."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        request_facts.set(exchange.facts)
        try:
            _refuse_ambiguity(scope)
            await self.app(_private(scope), receive, exchange.send)
        except Exception as error:
            await exchange.fail(error)
        finally:
            exchange.log()


def _private(scope: Scope) -> Scope:
    """A scope whose extensions no other request shares.

    granian gives one dict to all requests of a worker, and Connexion keeps the caller in it.
    """
    extensions = {
        name: value for name, value in scope.get("extensions", {}).items() if not name.startswith("connexion_")
    }
    return {**scope, "extensions": extensions}


def _refuse_ambiguity(scope: Scope) -> None:
    """Refuse what two readers of the same request could read differently."""
    headers = scope["headers"]
    if sum(len(name) + len(value) + 4 for name, value in headers) > HEADER_BYTES:
        raise HeadersTooLarge(HEADER_BYTES)
    counts = Counter(name for name, _ in headers)
    if any(counts[name] > 1 for name in _SINGLE_HEADERS) or not scope["query_string"].isascii():
        raise MalformedRequest()
    if counts[b"host"] == 0 and scope["http_version"] == "1.1":
        # RFC 9112, section 3.2.
        raise MalformedRequest()


class _Exchange:
    """One request and its answer, as the edge sees them."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self._send = send
        self.status: int | None = None
        self.started = perf_counter()
        client = scope.get("client") or (None,)
        self.facts: dict[str, Any] = {"request_id": str(uuid7()), "address": client[0]}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.facts["request_id"]
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        elif self.scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    async def fail(self, error: Exception) -> None:
        """Answer with the error, unless an answer is already on its way: then the connection must break."""
        reply = answer(error)
        if reply.status == InternalError.status:
            _log.error("unforeseen", exc_info=error)
        if self.status is not None:
            raise error
        await respond(self.send, reply)

    def log(self) -> None:
        milliseconds = round((perf_counter() - self.started) * 1000, 1)
        facts = {"method": self.scope["method"], "path": self.scope["path"], "status": self.status, "ms": milliseconds}
        _log.info("request", extra={"facts": facts})


async def respond(send: Send, reply: Answer) -> None:
    """Send a whole answer."""
    headers = {**reply.headers, "Content-Length": str(len(reply.body))}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": reply.body})
