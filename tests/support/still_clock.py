"""A clock that only a test moves."""

import threading
from datetime import UTC, datetime, timedelta


class StillClock:
    """A clock that only a test moves. Each reading adds a microsecond, so that readings stay in order.

    It starts at the next full second, so no run begins shortly before the next millisecond or second, and rows that
    exist are older.
    """

    def __init__(self) -> None:
        self._now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            self._now += timedelta(microseconds=1)
            return self._now

    def move(self, by: timedelta) -> None:
        with self._lock:
            self._now += by
