"""The database: the metadata of the tables, transactions, and the translation of driver errors."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    URL,
    CheckConstraint,
    Connection,
    CursorResult,
    DateTime,
    Delete,
    Dialect,
    Engine,
    Executable,
    MetaData,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeDecorator
from uuid_utils.compat import uuid7

from api.errors import ApiError, DatabaseUnavailable, MigrationsBehind, TransactionConflict
from api.storage.engine import make_engine, outside_transaction

_log = logging.getLogger("charter.database")


class Db:
    """The database handle of one transaction, which handlers and services call `db`."""

    def __init__(self, engine: Engine, on_write: Callable[[], None]) -> None:
        self._engine = engine
        self._on_write = on_write
        self._connection: Connection | None = None
        self._has_ended = False
        self._has_written = False
        self._after_commit: list[Callable[[], None]] = []

    def connection(self) -> Connection:
        """Return the connection of the transaction. The first call acquires it.

        Raises RuntimeError after the end of the transaction, because the connection would never be returned.
        """
        if self._connection is None:
            if self._has_ended:
                raise RuntimeError("the transaction has ended")
            self._connection = self._engine.connect()
        return self._connection

    def commit(self) -> None:
        """Commit and return the connection to the pool. Then make the calls that `after_commit` was given."""
        if self._connection is not None:
            self._connection.commit()
        has_written = self._has_written
        calls = self._after_commit
        self._release()
        if has_written:
            self._on_write()
        for call in calls:
            call()

    def rollback(self) -> None:
        """Roll back, and return the connection to the pool. The next statement begins a new transaction."""
        self._release()

    def close(self) -> None:
        """Roll back uncommitted changes and return the connection to the pool. The handle cannot be used again."""
        self._has_ended = True
        self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        self._has_written, self._after_commit = False, []
        if connection is not None:
            connection.close()

    def run(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Execute a statement and return its rows.

        A list of parameters executes the statement for each item, and must not be empty.
        """
        if not isinstance(statement, Select):
            self._has_written = True
        return self.connection().execute(statement, parameters)

    def read(self, statement: Select[Any], parameters: dict[str, Any]) -> Sequence[Row[Any]]:
        """Return the rows of a query outside of the transaction, and hold no connection afterwards.

        Call it before the transaction has begun, because it uses a connection of its own.
        """
        with outside_transaction(self._engine) as connection:
            rows: Sequence[Row[Any]] = connection.execute(statement, parameters).all()
        return rows

    def run_alone(self, statement: Update | Delete, parameters: dict[str, Any]) -> int:
        """Execute a statement in a transaction of its own, commit it, and return the number of rows that it changed.

        Call it before the transaction of this handle has begun, because it uses a connection of its own.
        """
        with outside_transaction(self._engine) as connection:
            changed = connection.execute(statement, parameters).rowcount
            connection.commit()
        self._on_write()
        return changed

    def lock(self, name: str) -> None:
        """Wait for other transactions with a lock of this name, and hold the lock until the transaction ends.

        SQLite has one writer at a time, so it needs no lock after the first write.
        """
        if self.connection().dialect.name == "postgresql":
            self.run(_LOCK, {"name": name})

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call a function once the transaction is committed, and never if it is rolled back."""
        self._after_commit.append(call)


_LOCK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("name"), 0)))


METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""The tables of `api/models`. All constraints have names, so that migrations can refer to them."""

EXPORTED = {"exported": True}
"""The `info` of a column that `exportData` returns. It returns only the rows whose `user_id` is the caller's."""


class UtcDateTime(TypeDecorator[datetime]):
    """A column of aware times, stored and returned in UTC. A naive time is rejected, because it is ambiguous."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time must have a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        # SQLite does not store the time zone. `process_bind_param` has written UTC.
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


def length_between(column: str, least: int, most: int) -> CheckConstraint:
    """Return the rule for the length of a text. SQLite ignores the length of a String."""
    return CheckConstraint(f"length({column}) BETWEEN {least} AND {most}", f"{column}_length")


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7). UUIDv7s are unique everywhere and sort by creation time."""
    return uuid7()


def first_id(moment: datetime) -> UUID:
    """Return an id below all UUIDv7s of this moment or a later one."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


HIGHEST_ID = UUID(int=2**128 - 1)
"""An id above every UUIDv7: the start of a list whose newest row comes first."""


class Database:
    """An engine with at most `connections` connections, and its transactions.

    `revision` is the revision of the schema that the process needs, if it needs a certain one.
    """

    def __init__(self, url: URL, connections: int = 40, revision: str | None = None) -> None:
        self.max_connections = connections
        self.revision = revision
        self.engine = make_engine(url, connections)
        self._on_write: list[Callable[[], None]] = []

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """Yield a transaction that commits at the end and rolls back on an exception.

        The first statement acquires the connection. An ApiError with `commits` commits as well, to keep the evidence.
        Raises DatabaseUnavailable if the database is unreachable, full or locked. Raises MigrationsBehind if the schema
        lacks an object because it is at another revision, and SchemaMismatch if no migration creates the object. Raises
        TransactionConflict if the transaction conflicted with another one.
        """
        with translate_errors(self.is_behind), closing(Db(self.engine, self._written)) as db:
            try:
                yield db
            except ApiError as error:
                if error.commits:
                    db.commit()
                raise
            db.commit()

    def read(self, statement: Select[Any], parameters: dict[str, Any]) -> Sequence[Row[Any]]:
        """Return the rows of a query without a transaction. Raises the same errors as `transaction`.

        On PostgreSQL, this saves the round trips of BEGIN and ROLLBACK.
        """
        with translate_errors(self.is_behind), outside_transaction(self.engine) as connection:
            rows: Sequence[Row[Any]] = connection.execute(statement, parameters).all()
        return rows

    def on_write(self, call: Callable[[], None]) -> None:
        """Call a function after each commit of this process that has written something."""
        self._on_write.append(call)

    def is_behind(self) -> bool:
        """Return True if the schema is at another revision than the process needs."""
        if self.revision is None:
            return False
        with self.engine.connect() as connection:
            return revision_of(connection) != self.revision

    def _written(self) -> None:
        for call in self._on_write:
            call()

    def in_use(self) -> int:
        """Return the number of connections in use."""
        return self.engine.pool.checkedout()  # type: ignore[attr-defined,no-any-return]

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


# The appendix "Error Codes" of PostgreSQL's manual defines these codes.
_CLASHES = {"40001": "serialization_failure", "40P01": "deadlock_detected"}
_UNAVAILABLE = {
    "25006": "read_only_sql_transaction",
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
}


# PostgreSQL has codes for a missing table, column, function and type. SQLite has messages only.
_MISSING = re.compile("42P01|42703|42883|42704|no such (table|column)|table .* has no column named")


class SchemaMismatch(Exception):
    """The schema is at the right revision, but lacks a table, a column or another object that a statement uses."""

    def __init__(self, cause: str) -> None:
        lacking = cause.partition("\n")[0]
        super().__init__(
            f"{lacking}, although all migrations have run; correct the statement, restore the object, or write the "
            "migration that creates it: make migration NAME=..."
        )


@contextmanager
def translate_errors(is_behind: Callable[[], bool] | None = None) -> Iterator[None]:
    """Translate driver errors: a context manager for code that uses the database.

    Raises DatabaseUnavailable if the driver cannot reach or use the database, and logs the driver's message. If the
    schema lacks an object and `is_behind` is given, raises MigrationsBehind or SchemaMismatch. Raises
    TransactionConflict if the transaction conflicted with another one.
    """
    try:
        yield
    except (DatabaseError, InterfaceError, PoolTimeout) as error:
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        if state in _CLASHES:
            _log.warning("transactions_clash", extra={"facts": {"cause": _CLASHES[state]}})
            raise TransactionConflict() from error
        cause = str(getattr(error, "orig", error))
        if is_behind is not None and _MISSING.match(state or cause):
            if not is_behind():
                raise SchemaMismatch(cause) from error
            _log.error("migrations_behind", extra={"facts": {"cause": cause}})
            raise MigrationsBehind() from error
        # The other subclasses concern a single statement. DatabaseError itself means that the file is not a database.
        if type(error) not in {DatabaseError, OperationalError, InterfaceError, PoolTimeout} and (
            state not in _UNAVAILABLE
        ):
            raise
        _log.error("database_unavailable", extra={"facts": {"cause": cause}})
        raise DatabaseUnavailable() from error


def revision_of(connection: Connection) -> str | None:
    """Return the revision of the database behind a connection, or None before the first migration."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def lock_table(db: Db, table: Table) -> None:
    """Lock the table against other writers until this transaction ends. On SQLite, the first write does this."""
    if db.connection().dialect.name == "postgresql":
        db.run(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


def release_connection(db: Db) -> None:
    """Return the connection to the pool until the next statement. Call this only if nothing was written."""
    db.commit()
