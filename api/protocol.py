"""HTTP/1.1 as uvicorn speaks it, bounded where it is not, and with our one shape of errors."""

import asyncio
import logging
from functools import partial
from time import monotonic
from typing import Any

from uuid_utils import uuid7
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.answer import OneWrite
from api.contract.edge import fixed_headers
from api.contract.framing import HEADER_BYTES, announces_body
from api.contract.reply import raw_headers
from api.errors import ApiError, HeadersTooLarge, MalformedRequest, RequestTooSlow, answer
from api.stopping import STOP_SECONDS
from api.transport import LingeringTransport

HEADER_SECONDS = 10
KEPT_SECONDS = 5
"""A connection that is older ends with its next answer: its client comes back to whichever process has time."""

_ASKING_SECONDS = 0.5
_PIPELINED = 16
# A chunk of one byte takes six.
_CHUNK_BYTES = 6

_log = logging.getLogger("charter.requests")


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a limit, in bytes and seconds, to everything a client can leave unfinished.

    What arrives whole is judged by the layers of the contract; here only what does not is counted and timed.
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
        self._waiting_refusal: ApiError | None = None
        self._is_last = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(LingeringTransport(transport, self.loop))  # type: ignore[arg-type]
        self._start_deadline()
        self._kept_until = monotonic() + KEPT_SECONDS

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        self.resume_writing()
        self.transport.forget()  # type: ignore[attr-defined]
        if self._running is not None:
            # uvicorn tells only the last of the pipelined requests.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            # Who has come, or stayed, may be asking in this moment, and is answered, too.
            self._is_last = True
            self.loop.call_later(_ASKING_SECONDS, super().shutdown)
        else:
            super().shutdown()
        # Who is stuck is let go before uvicorn would cancel the request, and log that as a failure.
        self.loop.call_later(STOP_SECONDS - 1, self.transport.abort)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._waiting_refusal is not None and cycle.more_body:
            self._answer(self._waiting_refusal)
            self.transport.close()
            return
        self._running = cycle
        super()._start_asgi_task(cycle, partial(OneWrite(cycle).run, app))  # type: ignore[arg-type]

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that says no more may still be waiting for its answer, but for nothing after it."""
        if self._is_answering():
            self._refuse(MalformedRequest())
            return True
        self.transport.flush()  # type: ignore[attr-defined]
        return False

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._awaiting_headers or self._awaiting_body:
            self._received += len(data)
        self._begun = False
        super().data_received(data)
        if self._begun and self._awaiting_headers:
            # Most arrive in one piece, and need no clock (3 us).
            self._start_deadline()
        if self._awaiting_headers and self._received > HEADER_BYTES:
            self._refuse(HeadersTooLarge(HEADER_BYTES))
        elif self._awaiting_body and self._received > self._received_of_body * _CHUNK_BYTES + HEADER_BYTES:
            # The body itself has a limit elsewhere; this is what surrounds it, and nobody needs so much of that.
            self._refuse(MalformedRequest())
        elif self._deadline is None and not self._awaiting_body and not self._is_answering():
            # Not even a line break between two requests buys time; a body has a time of its own.
            self._start_deadline()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._awaiting_headers = True
        # How much of this read belongs to the message is not known; what follows is counted in full.
        self._received = 1
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are not headers (RFC 9110, section 6.5.1): the edge has judged those already.
        if self._awaiting_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _PIPELINED:
            raise ValueError("too many requests wait on this connection")
        if b"#" in self.url or self._is_long_url():
            raise ValueError("a target with more in it than a path and a query")
        if self.parser.should_upgrade() and announces_body(dict(self.headers)):
            # The parser takes what follows for another protocol: the body would be read as the next request.
            raise ValueError("an offer to upgrade with a body")
        self._awaiting_headers = False
        self._awaiting_body = True
        self._received = 1
        self._received_of_body = 0
        self._stop_deadline()
        # HTTP/1.0 knows no answer before the answer (RFC 9110, section 10.1.1).
        self.expect_100_continue = self.expect_100_continue and self.parser.get_http_version() != "1.0"
        super().on_headers_complete()
        # A parser that was offered another protocol loses what comes in the same packet, too; a client that is hung up
        # on knows to send it again.
        if self._is_last or self.parser.should_upgrade() or monotonic() > self._kept_until:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._received_of_body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._awaiting_body = False
        if not self.parser.should_keep_alive():
            # A trailer may say so, too; the parser reads nothing more then.
            self.cycle.keep_alive = False
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.expect_reading()  # type: ignore[attr-defined]

    def resume_writing(self) -> None:
        super().resume_writing()
        self.transport.expect_no_more()  # type: ignore[attr-defined]

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequest())

    def _is_long_url(self) -> bool:
        # The edge counts a path and a query; what stands before the path of a whole URL, it does not see.
        return not self.url.startswith(b"/") and len(self.url) > HEADER_BYTES

    def _start_deadline(self) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._refuse_late)

    def _refuse_late(self) -> None:
        self._refuse(RequestTooSlow())

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_answering(self) -> bool:
        """Whether a request that arrived whole, or had an answer before it did, is still to be answered."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        return bool(self.pipeline) or self.cycle.response_started or not self.cycle.more_body

    def _refuse(self, error: ApiError) -> None:
        """Answer a request that never reached the application, and hang up."""
        if self.transport.is_closing():
            return
        if self._is_answering():
            # An answer now would be taken for the one that is being made; the last request may yet be to be refused.
            self._waiting_refusal = error
            self.cycle.keep_alive = False
            return
        if self._received:
            self._answer(error)
        self.transport.close()
        if self.cycle is not None:
            # What the application says of a request that is refused now, nobody is to hear.
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _answer(self, error: ApiError) -> None:
        reply = answer(error)
        request_id = str(uuid7())
        own = {**reply.headers, "Content-Length": str(len(reply.body)), "Connection": "close"}
        headers = raw_headers(own.items())
        headers += fixed_headers(request_id, headers)
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        # Before the target, the method that the parser knows is that of the request before.
        body = b"" if self.url and self.parser.get_method() == b"HEAD" else reply.body
        self.transport.write(STATUS_LINE[reply.status] + lines + b"\r\n" + body)
        facts: dict[str, Any] = {"request_id": request_id, "status": int(reply.status), "code": error.code}
        facts["address"] = self.client[0] if self.client else None
        _log.info("request", extra={"facts": facts})
