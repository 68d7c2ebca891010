"""Read the whole body at the edge, bounded in bytes and seconds, so that nothing behind waits for a client."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.contract.route import OPERATION
from api.errors import BodyTooLarge, MalformedRequest, RequestTooSlow


class Body:
    """Hands on a body that has arrived; a chunked one, whose length nobody announced, included.

    `limit` is in bytes, for an operation that has no `x-body-bytes` of its own.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = scope["extensions"][OPERATION].get("x-body-bytes", self.limit)
        announced = Headers(scope=scope).get("content-length", "0")
        # Python reads no number of more than 4,300 digits, and a size has at most 19.
        if not (announced.isascii() and announced.isdecimal() and len(announced) <= 19):
            raise MalformedRequest()
        if int(announced) > limit:
            raise BodyTooLarge(limit)
        try:
            async with asyncio.timeout(self.seconds):
                body = await _read(receive, limit)
        except TimeoutError:
            raise RequestTooSlow() from None
        await self.app(scope, _Replay(body, receive), send)


async def _read(receive: Receive, limit: int) -> bytes:
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


class _Replay:
    """A `receive` that gives the body first, in one piece."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
