"""The rate limit of credentials that are not known: each one costs a query, so that guesses could keep threads busy."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple, TypeVar

from api.errors import RateLimited
from api.services.rate_limits import RateLimiter

Found = TypeVar("Found")
_OK, _UNAUTHORIZED, _UNAVAILABLE = 200, 401, 503


class _Policy(NamedTuple):
    """At most 60 unknown credentials in a minute from an address. Known ones do not count."""

    name: str = "address"
    by: str = "address"
    quota: int = 60
    window: int = 60
    refund: str = "success"


class _Attempt(NamedTuple):
    """A credential that this process has not seen yet, from an address."""

    policy: _Policy
    value: str
    proof: None = None
    place: None = None


class Attempts:
    """Counts the unknown credentials of a security scheme, by the address of the client."""

    def __init__(self, limiter: RateLimiter | None, scheme: str) -> None:
        self._limiter = limiter
        self._scheme = scheme
        self._running: dict[tuple[str, Hashable], asyncio.Future[bool]] = {}

    async def find(
        self, address: str, credential: Hashable, read: Callable[[], Awaitable[Found | None]]
    ) -> Found | None:
        """Return what `read` finds for a credential that this process does not know, or None.

        Requests that arrive together with the same valid credential count as one attempt, which is then refunded.

        Raises RateLimited if the address has sent 60 unknown credentials in a minute.
        """
        key = (address, credential)
        running = self._running.get(key)
        if running is not None:
            return await (read() if await asyncio.shield(running) else self._count(address, read))
        self._running[key] = ended = asyncio.get_running_loop().create_future()
        found = None
        try:
            found = await self._count(address, read)
            return found
        finally:
            del self._running[key]
            ended.set_result(found is not None)

    async def _count(self, address: str, read: Callable[[], Awaitable[Found | None]]) -> Found | None:
        taken = await self._limiter.take(self._scheme, [_Attempt(_Policy(), address)]) if self._limiter else None
        if taken is not None and taken.retry_after is not None:
            raise RateLimited(taken.retry_after)
        status = _UNAVAILABLE
        try:
            found = await read()
            status = _UNAUTHORIZED if found is None else _OK
        finally:
            if taken is not None:
                await taken.settle(status)
        return found
