"""The export of a user's data: the profile, and the rows of each table that exports columns."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Select, Table, bindparam, select

from api import clock, models
from api.models.user import Profile
from api.services import events
from api.storage.database import Db

_MOST_ROWS = 10_000


def export(db: Db, user: Profile) -> dict[str, Any]:
    """Return the profile of a user, and up to 10,000 rows of each table, the newest first.

    The columns are those marked `EXPORTED`. The user of a row is in the column `user_id`.
    """
    tables = {name: _rows(db, query, user.id) for name, query in _QUERIES.items()}
    # Not earlier: on SQLite, the write locks the database.
    events.record(db, "data_exported", user_id=user.id)
    return {"exported_at": clock.now(), "profile": user, "tables": tables}


def exported_tables() -> list[Table]:
    """Return the tables that export columns, in the order of their names."""
    return sorted(
        (table for table in models.METADATA.tables.values() if _exported_columns(table)), key=lambda table: table.name
    )


def _exported_columns(table: Table) -> list[Column[Any]]:
    """Return the columns that a table exports."""
    return [column for column in table.c if column.info.get("exported")]


def _query(table: Table) -> Select[Any]:
    # Ids are in the order of creation (UUIDv7).
    newest = [column.desc() for column in table.primary_key]
    return (
        select(*_exported_columns(table))
        .where(table.c.user_id == bindparam("of_user"))
        .order_by(*newest)
        .limit(_MOST_ROWS + 1)
    )


def _rows(db: Db, query: Select[Any], user_id: UUID) -> dict[str, Any]:
    # One row more shows whether the rows are complete.
    rows = db.run(query, {"of_user": user_id}).mappings().all()
    items = [{name: _plain(value) for name, value in row.items()} for row in rows[:_MOST_ROWS]]
    return {"items": items, "complete": len(rows) <= _MOST_ROWS}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it. A schema that names no members converts nothing."""
    if isinstance(value, datetime):
        return clock.rfc3339(value)
    return str(value) if isinstance(value, UUID) else value


_QUERIES = {table.name: _query(table) for table in exported_tables()}
