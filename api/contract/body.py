"""Read the whole body at the edge, bounded in bytes and seconds, so that nothing behind waits for a client."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.framing import FIELDS, Fields, announces_body
from api.contract.route import OPERATION
from api.errors import BodyTooLarge, MalformedRequest, RequestTooSlow

BODY = "contract_body"
"""Where the layers behind find the body, in bytes, among the extensions of the scope."""


class Body:
    """Reads a body whole, a chunked one, whose length nobody announced, included.

    `limit` is in bytes, for an operation that has no `x-body-bytes` of its own.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # What has no body has nothing to wait for.
            fields = scope["extensions"][FIELDS]
            scope["extensions"][BODY] = await self._read(scope, receive, fields) if announces_body(fields) else b""
        await self.app(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive, fields: Fields) -> bytes:
        limit = scope["extensions"][OPERATION].get("x-body-bytes", self.limit)
        announced = fields.get(b"content-length", b"0")
        # Python reads no number of more than 4,300 digits, and a size has at most 19.
        if not announced.isdigit() or len(announced) > 19:
            raise MalformedRequest()
        if int(announced) > limit:
            raise BodyTooLarge(limit)
        receiving = _receive_all(receive, limit)
        try:
            # Most bodies are here by now, and need no clock (8 us).
            waits_for = receiving.send(None)
        except StopIteration as received:
            return cast(bytes, received.value)
        try:
            async with asyncio.timeout(self.seconds):
                return await _go_on(receiving, waits_for)
        except TimeoutError:
            raise RequestTooSlow() from None


@types.coroutine
def _go_on(begun: Coroutine[Any, None, bytes], waits_for: Any) -> Generator[Any, None, bytes]:
    """The rest of a coroutine that was begun and waits for this."""
    try:
        yield waits_for
        return (yield from begun.__await__())
    finally:
        begun.close()


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
