"""Read the whole request body, within limits on bytes and seconds, so that handlers never wait for the client."""

import asyncio
import sys

from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.document.operation import is_streamed
from api.contract.http.body_stream import BodyStream
from api.contract.http.framing import Fields, announces_body
from api.contract.http.scope import fields_of, has_whole_body, operation_of, set_body, set_stream
from api.errors import BodyTooLarge, MalformedRequest, RequestTooSlow

# A body that is not read while it arrives is at most this large.
_BUFFERED = 16 * 1024 * 1024


class BodyMiddleware:
    """Reads the whole body, including a chunked body of unknown length. Bodies with files stay for a later layer.

    `limit` is the maximum size in bytes for operations without `x-body-bytes`. `seconds` is the time limit.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            fields = fields_of(scope)
            if not announces_body(fields):
                set_body(scope, b"")
            elif self._streams(scope, fields):
                set_stream(scope, BodyStream(receive, self._limit(scope, fields), self.seconds))
            else:
                set_body(scope, await self._read(scope, receive, fields))
        await self.app(scope, receive, send)

    def _streams(self, scope: Scope, fields: Fields) -> bool:
        """Return True if the body is read after authentication, because it may be large."""
        operation = operation_of(scope)
        content_type = fields.get(b"content-type", b"")
        return bool(operation and operation.streams and content_type and is_streamed(content_type.decode("latin-1")))

    async def _read(self, scope: Scope, receive: Receive, fields: Fields) -> bytes:
        limit = self._limit(scope, fields, most=_BUFFERED)
        if has_whole_body(scope):
            # A time limit takes 9 us, and nothing is left to wait for.
            return await _receive_all(receive, limit)
        try:
            async with asyncio.timeout(self.seconds):
                return await _receive_all(receive, limit)
        except TimeoutError:
            raise RequestTooSlow() from None

    def _limit(self, scope: Scope, fields: Fields, most: int = sys.maxsize) -> int:
        """Return the maximum size of the body. Raises BodyTooLarge if a larger one is announced."""
        operation = operation_of(scope)
        limit = min((operation and operation.body_bytes) or self.limit, most)
        announced = fields.get(b"content-length", b"0")
        # Python cannot parse more than 4,300 digits, and a 64-bit size has at most 19.
        if not announced.isdigit() or len(announced) > 19:
            raise MalformedRequest()
        if int(announced) > limit:
            raise BodyTooLarge(limit)
        return limit


async def _receive_all(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequest()
        body += message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLarge(limit)
        more = message.get("more_body", False)
    return bytes(body)
