"""The rows of a table."""

from sqlalchemy import Table, func, select

from api.storage.database import Database


def count(database: Database, table: Table) -> int:
    """Return the number of rows of a table."""
    with database.transaction() as db:
        rows: int = db.run(select(func.count()).select_from(table)).scalar_one()
    return rows
