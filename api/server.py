"""The HTTP server that ships: uvicorn, bounded where it is not, and speaking our one shape of errors."""

import asyncio
import logging
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.contract.edge import HEADER_BYTES
from api.errors import ApiError, HeadersTooLarge, MalformedRequest, RequestTooSlow, answer

HEADER_SECONDS = 10
_LINGER_SECONDS = 2
_STOP_SECONDS = 8

_log = logging.getLogger("charter.requests")


def uvicorn_config(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves `app`; the sockets come from whoever runs it."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        # Our own logs have one line per request, and no banner tells strangers what serves them.
        log_config=None,
        access_log=False,
        server_header=False,
        # X-Forwarded-For is anybody's claim.
        proxy_headers=False,
        ws="none",
        # A request on a kept-alive connection would otherwise start with what the one before it left behind.
        reset_contextvars=True,
        # One client that stalls must not keep the process from stopping.
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a limit, in bytes and seconds, to a header section that does not end.

    A section that ends is measured by the edge; here only what waits for its end is counted.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refused = False
        self._awaiting_headers = True
        self._waiting_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._awaiting_headers = True
        # How much of this read belongs to the message is not known; what follows is counted in full.
        self._waiting_bytes = 1
        self._start_deadline()

    def on_headers_complete(self) -> None:
        self._awaiting_headers = False
        self._stop_deadline()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._awaiting_headers:
            self._waiting_bytes += len(data)
        super().data_received(data)
        if self._awaiting_headers and self._waiting_bytes > HEADER_BYTES:
            self._refuse(HeadersTooLarge(HEADER_BYTES))

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequest())

    def _start_deadline(self) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._refuse, RequestTooSlow())

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, error: ApiError) -> None:
        """Answer a request that never reached the application, and hang up."""
        if self._refused:
            return
        if self._is_answering():
            # An answer now would be taken for the one that is being made.
            self.cycle.keep_alive = False
            return
        if self._waiting_bytes == 0:
            self.transport.close()
            return
        self._answer(error)
        # RFC 9112, section 9.6: closing at once, with bytes unread, could take the answer back.
        self._refused = True
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _is_answering(self) -> bool:
        """Whether a request that arrived whole, or had an answer before it did, is still to be answered."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        return bool(self.pipeline) or self.cycle.response_started or not self.cycle.more_body

    def _answer(self, error: ApiError) -> None:
        reply = answer(error)
        request_id = str(uuid7())
        headers = {
            **reply.headers,
            "Content-Length": str(len(reply.body)),
            "Connection": "close",
            "X-Request-ID": request_id,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in headers.items())
        self.transport.write(STATUS_LINE[reply.status] + lines.encode("latin-1") + b"\r\n" + reply.body)
        facts: dict[str, Any] = {"request_id": request_id, "status": int(reply.status), "code": error.code}
        facts["address"] = self.client[0] if self.client else None
        _log.info("request", extra={"facts": facts})
