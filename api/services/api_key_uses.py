"""The times at which API keys were last used. A process collects them, because no request may wait for a write."""

from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from uuid import UUID

from sqlalchemy import bindparam, or_, update

from api import clock, models
from api.storage.database import Db

_PERIOD = timedelta(seconds=60)
_WRITTEN_AT_ONCE = 20


class KeyUses:
    """The last use of each API key in this process, which `flush` writes once a minute.

    Several processes may use a key. The time in the database is at least a minute older than the one that replaces it,
    so a key is written at most once a minute.
    """

    def __init__(self) -> None:
        self._latest: dict[UUID, datetime] = {}
        self._waiting: dict[UUID, datetime] = {}
        self._due_at = clock.now() + _PERIOD
        self._lock = Lock()

    def record(self, key_id: UUID, now: datetime) -> None:
        """Record a use of a key."""
        with self._lock:
            self._latest[key_id] = now

    def flush(self, db: Db) -> bool:
        """Write up to 20 of the times of the last minute, and return True if more are waiting."""
        now = clock.now()
        if not self._waiting:
            if now < self._due_at:
                return False
            self._due_at = now + _PERIOD
            with self._lock:
                self._waiting, self._latest = self._latest, {}
        # In one order, so that the transactions of two workers cannot wait for each other.
        written = sorted(self._waiting.items())[:_WRITTEN_AT_ONCE]
        for key_id, used_at in written:
            db.run(_USED, {"of_id": key_id, "used": used_at, "before": used_at - _PERIOD})
        # If the commit fails, the times stay for the next attempt.
        db.after_commit(partial(self._forget, written))
        return len(self._waiting) > len(written)

    def _forget(self, written: list[tuple[UUID, datetime]]) -> None:
        for key_id, _ in written:
            del self._waiting[key_id]


_keys = models.api_keys
_USED = (
    update(_keys)
    .where(
        _keys.c.id == bindparam("of_id"),
        or_(_keys.c.last_used_at.is_(None), _keys.c.last_used_at < bindparam("before")),
    )
    .values(last_used_at=bindparam("used"))
)
