"""Queries for `charter doctor` about the database itself."""

from datetime import timedelta

from sqlalchemy import inspect, text

from api import clock, models
from api.storage import engine, revisions
from api.storage.database import Db


def ping(db: Db) -> None:
    """Run a trivial query, so that the caller can measure the response time."""
    db.run(text("SELECT 1"))


def clock_skew(db: Db) -> timedelta:
    """Return how far PostgreSQL's clock is ahead of this host's, or zero if the query took longer than this time."""
    began = clock.now()
    theirs = db.run(text("SELECT clock_timestamp()")).scalar_one()
    took = clock.now() - began
    skew: timedelta = theirs - began - took / 2
    return skew if abs(skew) > took else timedelta()


def is_pooled(db: Db) -> bool:
    """Return True if a pooler is between this process and PostgreSQL."""
    return engine.is_pooled(db.connection().connection.driver_connection)


def encoding(db: Db) -> str:
    """Return the encoding of a PostgreSQL database, such as UTF8."""
    return engine.encoding_of(db.connection())


def keys_that_keep_users(db: Db) -> list[str]:
    """Return each column whose foreign key prevents the deletion of a user, as table.column."""
    found = inspect(db.connection()).get_multi_foreign_keys()
    return sorted(
        f"{table}.{column}"
        for (_, table), keys in found.items()
        for key in keys
        if key["referred_table"] == "users" and key["options"].get("ondelete") not in {"CASCADE", "SET NULL"}
        for column in key["constrained_columns"]
    )


def missing_objects(db: Db) -> list[str]:
    """Return each table of this release that the database lacks, and each such column as table.column."""
    connection = db.connection()
    listed = inspect(connection).get_multi_columns().items()
    found = {table: {column["name"] for column in columns} for (_, table), columns in listed}
    tables, columns = [], []
    for table in models.METADATA.sorted_tables:
        if not revisions.is_compared(connection.dialect.name, table):
            continue
        if table.name in found:
            columns += [f"{table.name}.{name}" for name in {*table.columns.keys()} - found[table.name]]
        else:
            tables.append(table.name)
    return sorted(tables) + sorted(columns)


def max_connections(db: Db) -> int:
    """Return the number of connections that PostgreSQL accepts from all clients together."""
    query = "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    return int(db.run(text(query)).scalar_one())
