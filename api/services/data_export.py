"""The export of a user's data: the profile, and the rows of each table that exports columns."""

from base64 import b64encode
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, JSON, Column, PickleType, Select, Table, TypeDecorator, bindparam, select
from sqlalchemy.types import TypeEngine

from api import clock, models
from api.models.user import Profile
from api.services import events
from api.storage.database import Db

_MOST_ROWS = 10_000
_TYPES = (bool, bytes, date, Decimal, Enum, float, int, str, time, timedelta, UUID)


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


def query_of(table: Table) -> Select[Any]:
    """Return the statement that reads the rows of a user from a table.

    Raises ValueError if the table has no `user_id`, or exports a column whose values have no form in JSON.
    """
    if "user_id" not in table.c:
        remedy = "add one that references users.id, or remove info=EXPORTED"
        raise ValueError(f"the table {table.name} exports columns, but has no column user_id; {remedy}")
    for column in _exported_columns(table):
        if not _is_exportable(column.type):
            kind = type(column.type).__name__
            reason = f"an export cannot show values of {column}, which has the type {kind}"
            raise ValueError(f"{reason}; remove info=EXPORTED")
    # Ids are in the order of creation (UUIDv7).
    newest = [column.desc() for column in table.primary_key]
    return (
        select(*_exported_columns(table))
        .where(table.c.user_id == bindparam("of_user"))
        .order_by(*newest)
        .limit(_MOST_ROWS + 1)
    )


def _is_exportable(kind: TypeEngine[Any]) -> bool:
    """Return True if the values of a type of columns have a form in JSON."""
    if isinstance(kind, TypeDecorator):
        return not isinstance(kind, PickleType) and _is_exportable(kind.impl_instance)
    if isinstance(kind, ARRAY):
        return _is_exportable(kind.item_type)
    return isinstance(kind, JSON) or issubclass(kind.python_type, _TYPES)


def _rows(db: Db, query: Select[Any], user_id: UUID) -> dict[str, Any]:
    # One row more shows whether the rows are complete.
    rows = db.run(query, {"of_user": user_id}).mappings().all()
    items = [{name: _plain(value) for name, value in row.items()} for row in rows[:_MOST_ROWS]]
    return {"items": items, "complete": len(rows) <= _MOST_ROWS}


def _plain(value: Any) -> Any:
    """Return a value without the parts that JSON cannot express. The serializer converts all other types."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, float | Decimal) and not isfinite(value):
        return str(Decimal(value))
    return value


_QUERIES = {table.name: query_of(table) for table in exported_tables()}
