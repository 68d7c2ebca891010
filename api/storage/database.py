"""The database: Base, one transaction per request, and what becomes of one that fails."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    DateTime,
    Dialect,
    Executable,
    MetaData,
    Row,
    Select,
    Table,
    event,
    text,
)
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, ORMExecuteState, Session, sessionmaker
from sqlalchemy.types import TypeDecorator
from uuid_utils.compat import uuid7

from api.errors import ApiError, DatabaseUnavailable, TransactionConflict
from api.storage.engine import make_engine, reading

_log = logging.getLogger("charter.database")


class Db(Session):
    """The database handle of one transaction, which handlers and services call `db`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connection: Connection | None = None
        self._after_commit: list[Callable[[], None]] = []

    def commit(self) -> None:
        self._connection = None
        super().commit()
        calls, self._after_commit = self._after_commit, []
        for call in calls:
            call()

    def rollback(self) -> None:
        self._connection = None
        self._after_commit.clear()
        super().rollback()

    def run(self, statement: Executable, parameters: dict[str, Any]) -> CursorResult[Any]:
        """Execute a statement on tables and return its rows as tuples.

        It costs half as much as `execute`, which prepares each statement and its rows for the ORM.
        """
        if self._connection is None:
            self._connection = self.connection()
        if not isinstance(statement, Select):
            self.info["wrote"] = True
        return self._connection.execute(statement, parameters)

    def read(self, statement: Select[Any], parameters: dict[str, Any]) -> Sequence[Row[Any]]:
        """Return the rows of a query outside of the transaction, and hold no connection afterwards.

        Call it before the transaction has begun, because it uses a connection of its own.
        """
        with self.info["reader"].connect() as connection:
            rows: Sequence[Row[Any]] = connection.execute(statement, parameters).all()
        return rows

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call a function once the transaction is committed, and never if it is rolled back."""
        self._after_commit.append(call)


class Base(DeclarativeBase):
    """What every table shares: names for all constraints, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, kept and given back in UTC; a naive one is refused, for nobody knows when it is."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time needs its zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        # SQLite forgets the zone; what process_bind_param wrote was UTC.
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


def table_of(model: type[Base]) -> Table:
    """Return the table of a model, for statements that `Db.run` executes."""
    return cast(Table, model.__table__)


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, section 5.7): unique everywhere, and later ones sort later."""
    return uuid7()


class Database:
    """An engine and its transactions, on at most so many connections."""

    def __init__(self, url: URL, connections: int = 40) -> None:
        self.max_connections = connections
        self.engine = make_engine(url, connections)
        self._session = sessionmaker(
            self.engine, class_=Db, expire_on_commit=False, info={"reader": reading(self.engine)}
        )

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """Leaving commits, raising rolls back; a connection is taken at the first statement, not before.

        An ApiError that is `remembered` commits, too: what was written is evidence. Raises DatabaseUnavailable when the
        database cannot be reached, is full or is locked, and TransactionConflict when another transaction was first.
        """
        with translate_errors(), self._session() as db:
            try:
                yield db
            except ApiError as error:
                if error.commits:
                    db.commit()
                raise
            db.commit()

    def on_write(self, call: Callable[[], None]) -> None:
        """Do something whenever a transaction of this process that wrote anything is kept."""
        event.listen(self._session, "after_flush", lambda db, _: db.info.update(wrote=True))
        event.listen(self._session, "do_orm_execute", lambda state: state.session.info.update(_wrote(state)))
        event.listen(self._session, "after_commit", lambda db: call() if db.info.get("wrote") else None)

    def in_use(self) -> int:
        """How many connections of the pool are taken."""
        return self.engine.pool.checkedout()  # type: ignore[attr-defined,no-any-return]

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


# What PostgreSQL calls these is in the appendix of its manual, "Error Codes".
_CLASHES = {"40001": "serialization_failure", "40P01": "deadlock_detected"}
_UNAVAILABLE = {
    "25006": "read_only_sql_transaction",
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
}


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raises DatabaseUnavailable when a driver says it cannot reach or use the database; the log has its words.

    Raises TransactionConflict when another transaction was first.
    """
    try:
        yield
    except (DatabaseError, InterfaceError, PoolTimeout) as error:
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        if state in _CLASHES:
            _log.warning("transactions_clash", extra={"facts": {"cause": _CLASHES[state]}})
            raise TransactionConflict() from error
        # Its other subclasses tell of one statement; DatabaseError itself, of a file that is no database.
        if type(error) not in {DatabaseError, OperationalError, InterfaceError, PoolTimeout} and (
            state not in _UNAVAILABLE
        ):
            raise
        _log.error("database_unavailable", extra={"facts": {"cause": str(getattr(error, "orig", error))}})
        raise DatabaseUnavailable() from error


def _wrote(state: ORMExecuteState) -> dict[str, bool]:
    return {} if state.is_select else {"wrote": True}


def lock_table(db: Db, table: type[Base]) -> None:
    """Until this transaction ends nobody else writes to the table; on SQLite, from its first write on."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(text(f"LOCK TABLE {table.__tablename__} IN SHARE ROW EXCLUSIVE MODE"))


def release_connection(db: Db) -> None:
    """Take no connection from others until the next statement; what was read stays, nothing may have been written."""
    # Unlike a rollback, it does not forget what was read.
    db.commit()
