"""Read the whole request body, within limits on bytes and seconds, so that no later layer waits for the client."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.http.framing import Fields, announces_body
from api.contract.http.scope import fields_of, operation_of, set_body
from api.errors import BodyTooLarge, MalformedRequest, RequestTooSlow


class BodyMiddleware:
    """Reads the whole body, including a chunked body of unknown length.

    `limit` is the maximum size in bytes for operations without `x-body-bytes`. `seconds` is the time limit.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            fields = fields_of(scope)
            set_body(scope, await self._read(scope, receive, fields) if announces_body(fields) else b"")
        await self.app(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive, fields: Fields) -> bytes:
        operation = operation_of(scope)
        limit = (operation and operation.body_bytes) or self.limit
        announced = fields.get(b"content-length", b"0")
        # Python cannot parse more than 4,300 digits, and a 64-bit size has at most 19.
        if not announced.isdigit() or len(announced) > 19:
            raise MalformedRequest()
        if int(announced) > limit:
            raise BodyTooLarge(limit)
        try:
            async with asyncio.timeout(self.seconds):
                return await _receive_all(receive, limit)
        except TimeoutError:
            raise RequestTooSlow() from None


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
