"""Whether this process knows all that was changed in the database, up to a moment ago.

It looks at the feed when it is asked. A question within 40 milliseconds of the last look costs nothing; a later one has
it look again, and waits for that look if the last is 50 milliseconds old. So a change is known everywhere 50
milliseconds after its commit, and whoever cannot look knows that it does not know.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from math import inf
from threading import Lock
from time import monotonic

from api.changes import Change, Following, follow
from api.database import Database

_FRESH_SECONDS = 0.05
# A busy event loop lets a look have its turn within some milliseconds.
_EARLY_SECONDS = 0.04
_RETRY_SECONDS = 1.0
_IDLE_SECONDS = 5.0

_log = logging.getLogger("charter.database")


class Watch:
    """Reads a feed of the changes when it is asked; times are of the monotonic clock."""

    def __init__(self, database: Database, tell: Callable[[list[Change] | None], None]) -> None:
        self._database = database
        self._tell = tell
        self._following: Following | None = None
        self._thread = _thread()
        self._lock = Lock()
        self._look: Future[None] | None = None
        self._look_began = -inf
        self._known_at = -inf
        self._doubted = -inf
        self._lost_at = -inf

    def is_fresh(self) -> bool:
        """Whether it is up to date without waiting for a look; the next one begins in time to stay so."""
        fresh = self._knows(self._doubted)
        if fresh and self._known_at < monotonic() - _EARLY_SECONDS:
            self._begin_look()
        return fresh

    def knows_others(self) -> bool:
        """Return whether all changes that other processes committed 100 ms ago are known. Poll in time to stay so."""
        age = monotonic() - self._known_at
        if age > _EARLY_SECONDS:
            self._begin_look()
        return age <= 2 * _FRESH_SECONDS

    async def is_up_to_date(self) -> bool:
        """Whether all was told that was committed 50 milliseconds ago, and by this process before the question."""
        doubted = self._doubted
        # The look under way may have begun before the doubt; the next one did not.
        for _ in range(2):
            if self._knows(doubted) or not await self._look_again():
                break
        return self._knows(doubted)

    async def keep_looking(self) -> None:
        """Look though nobody asks: what is not read piles up in the database, and what is lost is found again."""
        while True:
            await self.is_up_to_date()
            await asyncio.sleep(_IDLE_SECONDS)

    def doubt(self) -> None:
        """From now on only what is read from now on counts: this process has changed something itself."""
        self._doubted = monotonic()

    def close(self) -> None:
        """Give the feed's connection back; who asks again gets another."""
        thread, self._thread = self._thread, _thread()
        thread.submit(self._drop)
        thread.shutdown()

    def _knows(self, doubted: float) -> bool:
        return self._known_at > doubted and self._known_at >= monotonic() - _FRESH_SECONDS

    async def _look_again(self) -> bool:
        """Wait for the look under way, or for a new one; False if that is not worth it."""
        look = self._begin_look()
        patience = self._look_began + _FRESH_SECONDS - monotonic()
        if look is None or patience <= 0:
            return False
        await asyncio.wait([asyncio.wrap_future(look)], timeout=patience)
        return True

    def _begin_look(self) -> "Future[None] | None":
        """The look under way, or a new one; none just after the feed was lost."""
        with self._lock:
            now = monotonic()
            if self._look is None or self._look.done():
                if now < self._lost_at + _RETRY_SECONDS:
                    return None
                self._look_began = now
                self._look = self._thread.submit(self._read)
            return self._look

    def _read(self) -> None:
        began = monotonic()
        try:
            if self._following is None:
                self._following = follow(self._database)
                # What happened before it began to tell, nobody knows.
                self._tell(None)
            if changes := self._following.feed.read():
                self._tell(changes)
        except Exception as error:
            self._lose(error, began)
        else:
            self._find(began)

    def _find(self, at: float) -> None:
        if self._lost_at != -inf:
            _log.info("changes_found")
        self._lost_at = -inf
        self._known_at = at

    def _lose(self, error: Exception, at: float) -> None:
        if self._lost_at == -inf:
            _log.error("changes_lost", extra={"facts": {"cause": str(error).partition("\n")[0]}})
        self._lost_at = at
        self._tell(None)
        self._drop()

    def _drop(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            with suppress(Exception):
                following.connection.close()


def _thread() -> ThreadPoolExecutor:
    """One thread of its own: where others wait for the database, nobody should wait for them."""
    return ThreadPoolExecutor(1, "watch")
