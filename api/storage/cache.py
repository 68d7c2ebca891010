"""A cache of values from the database, which the change feed invalidates."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from api.runtime.thread_pool import ThreadPool
from api.storage.change_feed import Change
from api.storage.change_monitor import ChangeMonitor
from api.storage.database import Database

_MAX_ENTRIES = 20_000
# Cache misses run on these threads only, so a slow database cannot stall requests that do not need it.
_THREADS = 8

Found = TypeVar("Found")
Key = TypeVar("Key")
Value = TypeVar("Value")
Keep = Callable[[str, str, Any], None]
"""Caches a value by its topic and subject."""


class BoundedDict(OrderedDict[Key, Value]):
    """A dict of at most `most` values, which drops the oldest value to make room for a new one.

    (A plain dict skips all deleted entries before it finds its oldest: 5 us.)
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: Key, value: Value) -> None:
        self[key] = value
        if len(self) > self._most:
            self.popitem(last=False)


class Cache:
    """Cached values by topic and subject, which name the table and the row that the value was read from.

    Cached values are used only while the monitor knows every change. Otherwise each lookup queries the database.
    """

    def __init__(self, database: Database) -> None:
        self._values: defaultdict[str, BoundedDict[str, Any]] = defaultdict(lambda: BoundedDict(_MAX_ENTRIES))
        self._generation = 0
        self._lock = Lock()
        self._threads = ThreadPool("memory", _THREADS)
        self.monitor = ChangeMonitor(database, self._invalidate)

    async def get(self, topic: str, subject: str, read: Callable[[], Found | None]) -> Found | None:
        """Return the cached value, or call `read` and cache its result. None is not cached."""
        fresh = self.monitor.is_fresh() or await self.monitor.ensure_fresh()
        value = self._values[topic].get(subject) if fresh else None
        return await self._threads.run(partial(self._read, topic, subject, read)) if value is None else value

    def look_up(self, topic: str, subject: str, read: Callable[[], Found | None]) -> Found | None:
        """Return the same as `get`, for a caller on a thread, which may wait for the database."""
        value = self._values[topic].get(subject) if self.monitor.is_fresh() else None
        return self._read(topic, subject, read) if value is None else value

    async def read(self, read: Callable[[], Found]) -> Found:
        """Return the result of a query, which runs on the threads of the cache and is not cached."""
        return await self._threads.run(read)

    def find(self, topic: str, subject: str) -> Any | None:
        """Return the cached value, or None if a change that another process committed 100 ms ago may be unknown.

        Unlike `get`, this method may miss a change that this process has just committed.
        """
        return self._values[topic].get(subject) if self.monitor.knows_others() else None

    def begin_fill(self) -> Keep:
        """Call before the query, then pass the result to the returned function.

        The result is cached unless an invalidation arrived in between.
        """
        generation = self._generation

        def keep(topic: str, subject: str, value: Any) -> None:
            with self._lock:
                if generation == self._generation:
                    self._values[topic].put(subject, value)

        return keep

    def _read(self, topic: str, subject: str, read: Callable[[], Found | None]) -> Found | None:
        keep = self.begin_fill()
        value = read()
        if value is not None:
            keep(topic, subject, value)
        return value

    def _invalidate(self, changes: list[Change] | None) -> None:
        """Remove the changed values, or all values if `changes` is None."""
        with self._lock:
            self._generation += 1
            if changes is None:
                self._values.clear()
            for topic, subject in changes or ():
                if subject:
                    self._values[topic].pop(subject, None)
                else:
                    self._values[topic].clear()
