"""The rate limit of credentials that are not known: each one costs a query, so that guesses could keep threads busy."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from api.errors import RateLimited, Unavailable
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
        self._lookups: dict[tuple[str, str | bytes], asyncio.Future[bool]] = {}

    async def find(
        self, address: str, credential: str | bytes, read: Callable[[], Awaitable[Found | None]]
    ) -> Found | None:
        """Return what `read` finds for a credential that this process does not know, or None.

        While one request of an address looks a credential up, others with the same credential wait. If it is valid,
        only the first one counts, and its unit is returned.

        Raises RateLimited if the address has sent 60 unknown credentials in a minute. If the database fails the first
        request, the others raise the same error.
        """
        if self._limiter is None:
            return await read()
        key = (address, credential)
        lookup = self._lookups.get(key)
        if lookup is not None:
            # Read again: the credential may have been revoked after the first read began.
            return await (read() if await asyncio.shield(lookup) else self._count(self._limiter, address, read))
        self._lookups[key] = lookup = asyncio.get_running_loop().create_future()
        found = None
        try:
            found = await self._count(self._limiter, address, read)
            return found
        except Unavailable as error:
            lookup.set_exception(error)
            # asyncio would log an exception that no other request waits for.
            lookup.exception()
            raise
        finally:
            del self._lookups[key]
            if not lookup.done():
                lookup.set_result(found is not None)

    async def _count(
        self, limiter: RateLimiter, address: str, read: Callable[[], Awaitable[Found | None]]
    ) -> Found | None:
        taken = await limiter.take(self._scheme, [_Attempt(_Policy(), address)])
        if taken.retry_after is not None:
            raise RateLimited(taken.retry_after)
        status = _UNAVAILABLE
        try:
            found = await read()
            status = _UNAUTHORIZED if found is None else _OK
        finally:
            await taken.settle(status)
        return found
