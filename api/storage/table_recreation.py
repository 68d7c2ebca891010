"""Alembic's operations on SQLite, which keep the triggers of a table that is recreated.

SQLite cannot change most properties of a column. Alembic then creates a new table, copies the rows, drops the old table
and renames the new one (`batch_alter_table`). The old table takes its triggers with it.
"""

from typing import Any

from alembic.ddl.sqlite import SQLiteImpl
from sqlalchemy import text


class TriggerKeepingImpl(SQLiteImpl):
    """Creates the triggers of a dropped table again, once another table takes its name.

    Alembic uses the class for SQLite as soon as this module is imported.
    """

    __dialect__ = "sqlite"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._dropped: dict[str, list[str]] = {}

    def drop_table(self, table: Any, **options: Any) -> None:
        name = str(table.name)
        query = text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :name ORDER BY rowid")
        if self.connection is not None:
            self._dropped[name] = [*self.connection.scalars(query, {"name": name})]
        super().drop_table(table, **options)

    def rename_table(self, old_table_name: str, new_table_name: Any, schema: Any = None) -> None:
        triggers = self._dropped.pop(str(new_table_name), None)
        if self.connection is None or triggers is None:
            super().rename_table(old_table_name, new_table_name, schema)
            return
        # Without this, SQLite rejects the rename if a trigger of another table mentions the dropped table.
        self.connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
        super().rename_table(old_table_name, new_table_name, schema)
        self.connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")
        for trigger in triggers:
            self.connection.exec_driver_sql(trigger)
