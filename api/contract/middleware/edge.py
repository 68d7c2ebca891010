"""The edge: framing checks, ids, headers, errors and observers of all requests, the same on every server."""

import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from api.contract.http import framing
from api.contract.http.client_addresses import ClientAddresses
from api.contract.http.cors import Cors
from api.contract.http.library_errors import as_api_error
from api.contract.http.response import Headers, closing, problem_response, respond
from api.contract.http.scope import isolate, operation_of
from api.contract.http.traceparent import TraceParent, parent_of
from api.errors import InternalError

_log = logging.getLogger("charter.requests")


class RequestStart(NamedTuple):
    """A request that has begun. `parent` is the caller's span. `address`, `method` and `path` are the client's."""

    id: str
    address: str | None
    method: str
    path: str
    parent: TraceParent | None


class Outcome(NamedTuple):
    """The outcome of a request.

    A request that matched no operation has no `operation_id`. A request whose response never started has no `status`.
    `method` is as the client sent it. All other values come from the contract.
    """

    operation_id: str | None
    method: str
    status: int | None
    code: str | None
    seconds: float


Observer = Callable[[RequestStart], Callable[[Outcome], None]]
"""Called when a request begins. The function that it returns is called with the outcome."""


class EdgeMiddleware:
    """Gives each request an id and its own scope, each error its format, and each response its headers.

    It calls each observer when a request begins and when it ends. `clients` finds the address that the observers and
    all later layers see. `cors` adds the headers for browsers to every response.
    """

    def __init__(
        self,
        app: ASGIApp,
        observers: Sequence[Observer] = (),
        clients: ClientAddresses | None = None,
        cors: Cors | None = None,
    ) -> None:
        self.app = app
        self._observers = observers
        self._clients = clients or ClientAddresses()
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        fields = dict(scope["headers"])
        exchange = _Exchange(scope, receive, send, fields, self._cors)
        address = self._clients.find(scope)
        isolated = isolate(scope, fields, address)
        start = exchange.start(address)
        finish = [begin(start) for begin in self._observers]
        try:
            framing.check(scope, fields)
            self._clients.check(scope, fields)
            await self.app(isolated, exchange.receive, exchange.send)
        except ClientDisconnected:
            pass
        except Exception as error:
            await exchange.fail(error)
        finally:
            outcome = exchange.outcome(isolated)
            for end in finish:
                end(outcome)


# A response may override these.
_BY_DEFAULT = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def default_headers(request_id: str, own: Headers) -> Headers:
    """Return the headers that every response carries in addition to its own."""
    named = {name for name, _ in own}
    fixed = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
    return fixed + [header for header in _BY_DEFAULT if header[0] not in named]


class ClientDisconnected(Exception):
    """The client disconnected before the end of the response."""


class _Exchange:
    """One request and its response, as the edge sees them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, fields: framing.Fields, cors: Cors | None) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._body_pending = framing.announces_body(fields)
        self._fields = fields
        self._cors = cors
        self._id = str(uuid7())
        self._started = perf_counter()
        self._status: int | None = None
        self._code: str | None = None

    def start(self, address: str | None) -> RequestStart:
        return RequestStart(
            self._id, address, self.scope["method"], self.scope["path"], parent_of(self.scope, self._fields)
        )

    async def receive(self) -> Message:
        message = await self._receive()
        self._body_pending = self._body_pending and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = self._complete(list(message.get("headers", ())))
        elif self.scope["method"] == "HEAD":
            message = {**message, "body": b""}
        try:
            await self._send(message)
        except (OSError, RuntimeError):
            raise ClientDisconnected() from None

    def _complete(self, headers: Headers) -> Headers:
        headers = headers + default_headers(self._id, headers)
        if self._cors is not None:
            headers = self._cors.complete(headers, self._fields.get(b"origin"))
        if self._body_pending:
            # The rest of the body stays unread, so the next request on this connection could not be found.
            return closing(headers)
        return headers

    async def fail(self, error: Exception) -> None:
        """Send the error as the response. Raises the error if a response has begun, to break the connection."""
        known = as_api_error(error)
        self._code = known.code
        if known.status == InternalError.status:
            _log.error("unhandled_error", exc_info=error, extra={"facts": {"code": known.code}})
        if self._status is not None:
            raise error
        await respond(self.send, problem_response(known))

    def outcome(self, private: Scope) -> Outcome:
        operation = operation_of(private)
        name = operation.id if operation else None
        return Outcome(name, self.scope["method"], self._status, self._code, perf_counter() - self._started)
