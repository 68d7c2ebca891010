"""uvicorn's HTTP/1.1 protocol, with limits on unfinished requests and with Charter's error format (RFC 9457)."""

import asyncio
import logging
import re
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade
from uuid_utils import uuid7
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.contract import HEADER_BYTES, closing, default_headers, problem_response
from api.errors import ApiError, HeadersTooLarge, MalformedRequest, RequestTooSlow
from api.runtime.shutdown import SHUTDOWN_TIMEOUT
from api.server.response_writer import SingleWriteResponder
from api.server.transport import LingeringTransport
from api.server.upgrade import ignore_offer

HEADER_SECONDS = 10
MAX_CONNECTION_AGE = 60
"""The age in seconds from which a connection to one of several workers closes with its next response.

The client then reconnects to a worker that is free.
"""

_SHUTDOWN_GRACE = 0.5
_PIPELINED = 16
# A chunk with one byte of data takes six bytes.
_CHUNK_BYTES = 6
_WITHOUT_PATH = re.compile(rb"\A[^/?]+://[^/?]+(?=\?|\Z)")
# How a socket for both families writes an IPv4 address.
_MAPPED = "::ffff:"

_log = logging.getLogger("charter.requests")


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with a limit, in bytes and seconds, on everything that a client can leave unfinished.

    The layers of the contract check complete requests. The protocol only counts and times incomplete ones.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url = b""
        self._awaiting_headers = True
        self._awaiting_body = False
        self._begun = False
        self._received = 0
        self._received_of_body = 0
        self._running: RequestResponseCycle | None = None
        self._pending_error: ApiError | None = None
        self._is_last = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(LingeringTransport(transport, self.loop))  # type: ignore[arg-type]
        if self.client and self.client[0].startswith(_MAPPED):
            self.client = self.client[0].removeprefix(_MAPPED), self.client[1]
        self._start_deadline()
        # With one worker, the client could only reconnect to the same one.
        self._kept_until = monotonic() + MAX_CONNECTION_AGE if self.config.workers > 1 else inf

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        # uvicorn keeps this timer after a reset, and with it everything that belongs to the connection.
        self._unset_keepalive_if_required()
        self.resume_writing()
        self.transport.cancel()  # type: ignore[attr-defined]
        if self._running is not None:
            # uvicorn notifies only the last of the pipelined requests.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            # A request may already be on the wire, so keep the connection open half a second longer.
            self._is_last = True
            self.loop.call_later(_SHUTDOWN_GRACE, super().shutdown)
        else:
            super().shutdown()
        # Abort a stuck connection before uvicorn cancels its request and logs that as a failure.
        self.loop.call_later(SHUTDOWN_TIMEOUT - 1, self.transport.abort)

    def end_soon(self) -> None:
        """Close the connection with the next response. Any thread may call this."""
        self._is_last = True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._pending_error is not None and cycle.more_body:
            self._send_error(self._pending_error)
            self.transport.close()
            return
        self._running = cycle
        super()._start_asgi_task(cycle, partial(SingleWriteResponder(cycle).run, app))  # type: ignore[arg-type]

    def eof_received(self) -> bool:  # type: ignore[override]
        """Finish the pending response if the client has closed its sending side, and reject anything after it."""
        self.transport.input_has_ended = True  # type: ignore[attr-defined]
        if self._is_responding() and not self.transport.is_closing():
            self._reject(MalformedRequest())
            return True
        self.transport.flush()  # type: ignore[attr-defined]
        return False

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._pending_error is not None:
            # The connection closes after the response in flight. Until then, read nothing more.
            self.flow.pause_reading()
            return
        self._received += len(data)
        self._begun = False
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except HttpParserError:
            self._reject(MalformedRequest())
            return
        if self._begun and self._awaiting_headers:
            # Most headers arrive in one read and need no deadline, which costs 3 us.
            self._start_deadline()
        if self._awaiting_headers and self._received > HEADER_BYTES:
            self._reject(HeadersTooLarge(HEADER_BYTES))
        elif self._awaiting_body and self._received > self._received_of_body * _CHUNK_BYTES + HEADER_BYTES:
            # The body has its own limit elsewhere. The limit here is for the chunk framing around the body.
            self._reject(MalformedRequest())
        elif self._deadline is None and not self._awaiting_body and not self._is_responding():
            # Any data stops uvicorn's keep-alive timer, even a line break between two requests, so this deadline
            # replaces that timer. A body has its own time limit.
            self._start_deadline()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as end:
            # The parser treats the rest as another protocol. After CONNECT, the connection closes.
            if self.parser.get_method() != b"CONNECT":
                ignore_offer(self)
                self._parse(data[end.args[0] :])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._awaiting_headers = True
        # The share of a message that follows another one in the same read is unknown. Later reads are counted in full.
        self._received = self._received or 1
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are not headers (RFC 9110, section 6.5.1). The edge has already checked the headers.
        if self._awaiting_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _PIPELINED:
            raise ValueError("too many pipelined requests")
        if b"#" in self.url or self._is_long_url():
            raise ValueError("the target must be a path and a query")
        if not self.url.startswith(b"/"):
            # An absolute URL without a path has the path "/" (RFC 9110, section 4.2.3).
            self.url = _WITHOUT_PATH.sub(rb"\g<0>/", self.url)
        self._awaiting_headers = False
        self._awaiting_body = True
        self._received = 1
        self._received_of_body = 0
        self._stop_deadline()
        # Servers must ignore Expect: 100-continue in HTTP/1.0 requests (RFC 9110, section 10.1.1).
        self.expect_100_continue = self.expect_100_continue and self.parser.get_http_version() != "1.0"
        super().on_headers_complete()
        if self._is_last or self.parser.get_method() == b"CONNECT" or monotonic() > self._kept_until:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._received_of_body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            # `ignore_offer` repeats this call after the body.
            return
        self._awaiting_body = False
        self._received = 0
        if not self.parser.should_keep_alive():
            # A trailer can also ask to close the connection. The parser reads nothing after that trailer.
            self.cycle.keep_alive = False
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.start_write_timeout()  # type: ignore[attr-defined]

    def resume_writing(self) -> None:
        super().resume_writing()
        self.transport.stop_write_timeout()  # type: ignore[attr-defined]

    def _is_long_url(self) -> bool:
        # The edge limits the path and the query, but does not see the scheme and the host of an absolute URL.
        return not self.url.startswith(b"/") and len(self.url) > HEADER_BYTES

    def _start_deadline(self) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._on_header_timeout)

    def _on_header_timeout(self) -> None:
        self._reject(RequestTooSlow())

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_responding(self) -> bool:
        """Return True if a complete request awaits its response, or if a response has already started."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        return bool(self.pipeline) or self.cycle.response_started or not self.cycle.more_body

    def _reject(self, error: ApiError) -> None:
        """Reject a request that never reached the application, and close the connection."""
        if self.transport.is_closing():
            return
        if self._is_responding():
            # An error sent now would be read as the response to the request in flight. If the last pipelined request is
            # incomplete, `_start_asgi_task` sends the error as the response to that one.
            self._pending_error = error
            self.cycle.keep_alive = False
            return
        if self._received:
            self._send_error(error)
        self.transport.close()
        if self.cycle is not None:
            # Discard everything that the application still sends for this rejected request.
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _origin(self) -> bytes | None:
        """Return the origin of the request that is being read, if that header has arrived."""
        if not (self._awaiting_headers or self._awaiting_body):
            # The headers are those of the previous request.
            return None
        return next((value for name, value in self.headers or () if name == b"origin"), None)

    def _send_error(self, error: ApiError) -> None:
        response, request_id = problem_response(error), str(uuid7())
        headers = closing(response.headers) + default_headers(request_id, response.headers)
        if cors := self.app_state.get("cors"):
            headers = cors.complete(headers, self._origin())
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        # Until the target arrives, the parser still has the method of the previous request.
        body = b"" if self.url and self.parser.get_method() == b"HEAD" else response.body
        self.transport.write(STATUS_LINE[response.status] + lines + b"\r\n" + body)
        facts: dict[str, Any] = {"request_id": request_id, "status": response.status, "code": error.code}
        facts["address"] = self.client[0] if self.client else None
        _log.info("request", extra={"facts": facts})
