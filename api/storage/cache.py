"""What this process has read of the database, for as long as nobody has changed it."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from api.runtime.thread_pool import Threads
from api.storage.change_feed import Change
from api.storage.change_monitor import Watch
from api.storage.database import Database

_MOST = 20_000
# What needs no database never waits for one; what needs to know who is calling waits for these threads alone.
_THREADS = 8

Found = TypeVar("Found")
Key = TypeVar("Key")
Value = TypeVar("Value")
Keep = Callable[[str, str, Any], None]
"""Caches a value by its topic and subject."""


class Latest(OrderedDict[Key, Value]):
    """So many values at most, by their keys; the oldest goes when one more comes.

    (A dict steps over all that went before it finds its oldest: 5 us.)
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: Key, value: Value) -> None:
        self[key] = value
        if len(self) > self._most:
            self.popitem(last=False)


class Memory:
    """Values by topic and subject: the table, and the row in it, that they were read from.

    It is trusted only while a watch knows of every change; otherwise each question goes to the database.
    """

    def __init__(self, database: Database) -> None:
        self._values: defaultdict[str, Latest[str, Any]] = defaultdict(lambda: Latest(_MOST))
        self._forgotten = 0
        self._lock = Lock()
        self._threads = Threads("memory", _THREADS)
        self.watch = Watch(database, self._forget)

    async def get(self, topic: str, subject: str, read: Callable[[], Found | None]) -> Found | None:
        """What `read` finds, from memory if nobody has changed it since; that there is nothing is not remembered."""
        fresh = self.watch.is_fresh() or await self.watch.is_up_to_date()
        value = self._values[topic].get(subject) if fresh else None
        return await self._threads.run(partial(self._read, topic, subject, read)) if value is None else value

    def find(self, topic: str, subject: str) -> Any | None:
        """Return the cached value, if all changes are known that other processes committed 100 ms ago, or None.

        Unlike `get`, it may miss a change that this process has just committed.
        """
        return self._values[topic].get(subject) if self.watch.knows_others() else None

    def offer(self) -> Keep:
        """Call before the query, then pass the result to the returned function.

        The result is cached unless an invalidation arrived in between.
        """
        forgotten = self._forgotten

        def keep(topic: str, subject: str, value: Any) -> None:
            with self._lock:
                if forgotten == self._forgotten:
                    self._values[topic].keep(subject, value)

        return keep

    def _read(self, topic: str, subject: str, read: Callable[[], Found | None]) -> Found | None:
        keep = self.offer()
        value = read()
        if value is not None:
            keep(topic, subject, value)
        return value

    def _forget(self, changes: list[Change] | None) -> None:
        """Forget what changed; None is everything."""
        with self._lock:
            self._forgotten += 1
            if changes is None:
                self._values.clear()
            for topic, subject in changes or ():
                if subject:
                    self._values[topic].pop(subject, None)
                else:
                    self._values[topic].clear()
