"""What this process has read of the database, for as long as nobody has changed it."""

from collections import defaultdict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from api.changes import Change
from api.database import Database
from api.watch import Watch

_MOST = 20_000

Found = TypeVar("Found")


class Memory:
    """Values by topic and subject: the table, and the row in it, that they were read from.

    It is trusted only while a watch knows of every change; otherwise each question goes to the database.
    """

    def __init__(self, database: Database) -> None:
        self._values: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self._forgotten = 0
        self._lock = Lock()
        self.watch = Watch(database, self._forget)

    async def get(self, topic: str, subject: str, read: Callable[[], Found | None]) -> Found | None:
        """What `read` finds, from memory if nobody has changed it since; that there is nothing is not remembered."""
        value = self._values[topic].get(subject) if await self.watch.is_up_to_date() else None
        return await run_in_threadpool(self._read, topic, subject, read) if value is None else value

    def offer(self, topic: str, subject: str) -> Callable[[Any], None]:
        """To be called before the database is asked; it returns what takes the answer.

        The answer is kept unless something changed in between, for it may be older than that.
        """
        forgotten = self._forgotten

        def keep(value: Any) -> None:
            with self._lock:
                values = self._values[topic]
                if forgotten == self._forgotten:
                    values[subject] = value
                if len(values) > _MOST:
                    del values[next(iter(values))]

        return keep

    def _read(self, topic: str, subject: str, read: Callable[[], Found | None]) -> Found | None:
        keep = self.offer(topic, subject)
        value = read()
        if value is not None:
            keep(value)
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
