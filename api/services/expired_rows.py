"""The deletion of rows whose time is over, some at a time, so that no lock is held for long."""

from datetime import datetime
from typing import Any

from sqlalchemy import Table, bindparam, delete, select

from api.storage.database import Db


class ExpiredRows:
    """The rows of a table whose time, in an indexed column, is over. The table has one column as its primary key."""

    def __init__(self, table: Table, time: str) -> None:
        (key,) = table.primary_key
        column = table.c[time]
        is_over = column <= bindparam("before")
        self._find = (
            select(key)
            .where(is_over)
            .order_by(column)
            .limit(bindparam("most"))
            # On PostgreSQL, workers that purge at the same time take different rows.
            .with_for_update(skip_locked=True)
        )
        self._delete = delete(table).where(key.in_(bindparam("found", expanding=True)), is_over)

    def delete(self, db: Db, before: datetime, most: int) -> int:
        """Delete up to `most` rows whose time is not after `before`, and return the number of rows that were found."""
        # The read takes no lock of SQLite if there is nothing to delete.
        found: list[Any] = list(db.run(self._find, {"before": before, "most": most}).scalars())
        if found:
            db.run(self._delete, {"found": found, "before": before})
        return len(found)
