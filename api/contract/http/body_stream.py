"""A body that is read while it arrives, because it may be larger than the memory."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Receive

from api.errors import BodyTooLarge, MalformedRequest, RequestTooSlow

# The slowest client sends this many bytes in the time limit.
_LEAST = 1024 * 1024


class BodyStream:
    """The rest of a request, within limits on bytes and on the time for each MiB."""

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self._receive = receive
        self._limit = limit
        self._seconds = seconds

    async def read(self, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Pass the bytes on as they arrive. Raises BodyTooLarge, RequestTooSlow or MalformedRequest."""
        size = 0
        more = True
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                while more:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise MalformedRequest()
                    data = message.get("body", b"")
                    size += len(data)
                    if size > self._limit:
                        raise BodyTooLarge(self._limit)
                    await take(data)
                    deadline.reschedule((deadline.when() or 0) + self._seconds * len(data) / _LEAST)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise RequestTooSlow() from None
