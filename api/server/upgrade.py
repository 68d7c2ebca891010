"""Requests that offer another protocol (`Upgrade`). The server ignores the offer (RFC 9110, section 7.8)."""

from typing import Any

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.server.response_writer import FRAMING


def ignore_offer(protocol: HttpToolsProtocol) -> None:
    """Give the protocol a parser that has read the headers of the current request without the offer.

    The parser that has read the offer skips the body, and everything after it.
    """
    parser = HttpRequestParser(_Continuation(protocol))
    # As uvicorn does: a request with `Connection: close` gets its response even if more data follows.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    line = b"%s / HTTP/%s\r\n" % (protocol.parser.get_method(), protocol.parser.get_http_version().encode())
    framing = [b"%s: %s\r\n" % header for header in protocol.headers if header[0] in FRAMING]
    # A request without a body is complete after these headers, so the protocol needs the new parser before.
    protocol.parser = parser
    parser.feed_data(line + b"".join(framing) + b"\r\n")


class _Continuation:
    """The callbacks of a protocol, except those for the headers that it has already received."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._repeats = True
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if not self._repeats:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._repeats:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._repeats:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._repeats:
            self._protocol.on_headers_complete()
        self._repeats = False
