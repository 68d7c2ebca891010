"""Track whether this process has seen every recent change in the database.

The monitor polls the change feed on demand. A check within 40 ms of the last poll costs nothing. A later check starts a
poll, and waits for it once the last poll is 50 ms old. A committed change is therefore visible to every process within
50 ms, and a process that cannot poll treats its cache as stale.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from math import inf
from threading import Lock
from time import monotonic

from api.storage.change_feed import Change, Subscription, subscribe
from api.storage.database import Database

_MAX_STALENESS = 0.05
# Polling starts early, because a busy event loop may need some milliseconds to run it.
_REFRESH_AFTER = 0.04
_RETRY_SECONDS = 1.0
_IDLE_SECONDS = 5.0

_log = logging.getLogger("charter.database")


class ChangeMonitor:
    """Polls the change feed on demand. All times are seconds of the monotonic clock."""

    def __init__(self, database: Database, on_changes: Callable[[list[Change] | None], None]) -> None:
        self._database = database
        self._on_changes = on_changes
        self._subscription: Subscription | None = None
        self._thread = _thread()
        self._lock = Lock()
        self._poll: Future[None] | None = None
        self._poll_began = -inf
        self._known_at = -inf
        self._doubted = -inf
        self._lost_at = -inf

    def is_fresh(self) -> bool:
        """Return True if the cache is fresh now. Start a poll if the cache is about to become stale."""
        fresh = self._knows(self._doubted)
        if fresh and self._known_at < monotonic() - _REFRESH_AFTER:
            self._start_poll()
        return fresh

    def knows_others(self) -> bool:
        """Return whether all changes that other processes committed 100 ms ago are known. Poll in time to stay so."""
        age = monotonic() - self._known_at
        if age > _REFRESH_AFTER:
            self._start_poll()
        return age <= 2 * _MAX_STALENESS

    async def ensure_fresh(self) -> bool:
        """Wait for at most two polls and return True if the cache is fresh.

        A fresh cache includes every change committed 50 ms ago, and this process's own changes up to this call.
        """
        doubted = self._doubted
        # The poll in progress may have started before this process wrote. The next one did not.
        for _ in range(2):
            if self._knows(doubted) or not await self._wait_for_poll():
                break
        return self._knows(doubted)

    async def poll_forever(self) -> None:
        """Poll even when idle, so that changes do not pile up and a lost connection is reopened."""
        while True:
            await self.ensure_fresh()
            await asyncio.sleep(_IDLE_SECONDS)

    def mark_stale(self) -> None:
        """Require a new poll. Call this after this process has written to the database."""
        self._doubted = monotonic()

    def close(self) -> None:
        """Close the feed's connection. A later check opens a new one."""
        thread, self._thread = self._thread, _thread()
        thread.submit(self._close)
        thread.shutdown()

    def _knows(self, doubted: float) -> bool:
        return self._known_at > doubted and self._known_at >= monotonic() - _MAX_STALENESS

    async def _wait_for_poll(self) -> bool:
        """Wait for the poll in progress or a new one. Return False if no poll can end in time."""
        look = self._start_poll()
        patience = self._poll_began + _MAX_STALENESS - monotonic()
        if look is None or patience <= 0:
            return False
        await asyncio.wait([asyncio.wrap_future(look)], timeout=patience)
        return True

    def _start_poll(self) -> "Future[None] | None":
        """Return the poll in progress, or start one. Return None just after the feed was lost."""
        with self._lock:
            now = monotonic()
            if self._poll is None or self._poll.done():
                if now < self._lost_at + _RETRY_SECONDS:
                    return None
                self._poll_began = now
                self._poll = self._thread.submit(self._read)
            return self._poll

    def _read(self) -> None:
        began = monotonic()
        try:
            if self._subscription is None:
                self._subscription = subscribe(self._database)
                # Changes before the subscription are unknown, so everything is invalidated.
                self._on_changes(None)
            if changes := self._subscription.feed.read():
                self._on_changes(changes)
        except Exception as error:
            self._lost(error, began)
        else:
            self._recovered(began)

    def _recovered(self, at: float) -> None:
        if self._lost_at != -inf:
            _log.info("change_feed_recovered")
        self._lost_at = -inf
        self._known_at = at

    def _lost(self, error: Exception, at: float) -> None:
        if self._lost_at == -inf:
            _log.error("change_feed_lost", extra={"facts": {"cause": str(error).partition("\n")[0]}})
        self._lost_at = at
        self._on_changes(None)
        self._close()

    def _close(self) -> None:
        following, self._subscription = self._subscription, None
        if following is not None:
            with suppress(Exception):
                following.connection.close()


def _thread() -> ThreadPoolExecutor:
    """Return a dedicated thread, so that a poll never queues behind other work on the database."""
    return ThreadPoolExecutor(1, "monitor")
