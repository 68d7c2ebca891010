"""The database: Base, engine, one transaction per request."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import URL, DateTime, Dialect, ExceptionContext, MetaData, create_engine, event, text
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, ORMExecuteState, Session, sessionmaker
from sqlalchemy.types import TypeDecorator
from uuid_utils.compat import uuid7

from api.errors import ApiError, DatabaseUnavailable, TransactionsClash

if TYPE_CHECKING:
    import sqlite3

_log = logging.getLogger("charter.database")

Db = Session
"""What handlers and services call `db`."""


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


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, section 5.7): unique everywhere, and later ones sort later."""
    return uuid7()


class Database:
    """An engine and its transactions, on at most so many connections."""

    def __init__(self, url: URL, connections: int = 40) -> None:
        self.most_connections = connections
        self.engine = create_engine(_patient(url), **_options(url, connections))
        event.listen(self.engine, "connect", _PREPARE[url.get_backend_name()])
        event.listen(self.engine, "handle_error", _without_values)
        self._session = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """Leaving commits, raising rolls back; a connection is taken at the first statement, not before.

        An ApiError that is `remembered` commits, too: what was written is evidence. Raises DatabaseUnavailable when the
        database cannot be reached, is full or is locked, and TransactionsClash when another transaction was first.
        """
        with reaching(), self._session() as db:
            try:
                yield db
            except ApiError as error:
                if error.remembered:
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
def reaching() -> Iterator[None]:
    """Raises DatabaseUnavailable when a driver says it cannot reach or use the database; the log has its words.

    Raises TransactionsClash when another transaction was first.
    """
    try:
        yield
    except (DatabaseError, InterfaceError, PoolTimeout) as error:
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        if state in _CLASHES:
            _log.warning("transactions_clash", extra={"facts": {"cause": _CLASHES[state]}})
            raise TransactionsClash() from error
        # Its other subclasses tell of one statement; DatabaseError itself, of a file that is no database.
        if type(error) not in {DatabaseError, OperationalError, InterfaceError, PoolTimeout} and (
            state not in _UNAVAILABLE
        ):
            raise
        _log.error("database_unavailable", extra={"facts": {"cause": str(getattr(error, "orig", error))}})
        raise DatabaseUnavailable() from error


def _without_values(context: ExceptionContext) -> None:
    """PostgreSQL says what is wrong in a sentence, and below it quotes the row: a log is no place for hashes."""
    diagnosis = getattr(context.original_exception, "diag", None)
    if diagnosis is not None and diagnosis.message_detail is not None:
        context.original_exception.args = (diagnosis.message_primary,)
        if context.sqlalchemy_exception is not None:
            context.sqlalchemy_exception.args = (f"({type(context.original_exception)}) {diagnosis.message_primary}",)


def _wrote(state: ORMExecuteState) -> dict[str, bool]:
    return {} if state.is_select else {"wrote": True}


def take_turn(db: Db, table: type[Base]) -> None:
    """Until this transaction ends nobody else writes to the table; on SQLite, from its first write on."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(text(f"LOCK TABLE {table.__tablename__} IN SHARE ROW EXCLUSIVE MODE"))


def release(db: Db) -> None:
    """Take no connection from others until the next statement; what was read stays, nothing may have been written."""
    # Unlike a rollback, it does not forget what was read.
    db.commit()


def after_commit(db: Db, call: Callable[[], None]) -> None:
    """Do something once the transaction is kept; not at all when it is rolled back."""
    event.listen(db, "after_commit", lambda _: call(), once=True)


# A host that is gone says so to nobody. That a connection is dead, and the next one cannot be made, takes 4.5 seconds.
_PATIENCE = {
    "connect_timeout": "2",
    "keepalives_idle": "1",
    "keepalives_interval": "1",
    "keepalives_count": "1",
    "tcp_user_timeout": "2500",
}


def _patient(url: URL) -> URL:
    """The same URL, with an end to the waiting for PostgreSQL, unless it says otherwise."""
    return url if url.get_backend_name() == "sqlite" else url.set(query=_PATIENCE | dict(url.query))


def _options(url: URL, connections: int) -> dict[str, Any]:
    kept = min(10, connections)
    # An error quotes its statement in the log, but not what the statement was about: names, hashes.
    options: dict[str, Any] = {"hide_parameters": True, "pool_timeout": 4}
    options |= {"pool_size": kept, "max_overflow": connections - kept}
    if url.get_backend_name() != "sqlite":
        return options | {"pool_pre_ping": True}
    # sqlite3 then begins at the first statement that writes, and takes the lock at once: a transaction that
    # began by reading could not wait for it. Reads before that hold no lock, so a slow hash blocks nobody.
    # It waits 8 seconds for the lock, unless the URL says otherwise: `?timeout=1`. Nobody queues for it: who has
    # waited for a stranger for 4 has to be lucky among all who come then.
    return options | {"connect_args": {"isolation_level": "IMMEDIATE", "timeout": 8}}


def _prepare_sqlite(connection: "sqlite3.Connection", _: object) -> None:
    # Of its own, each connection keeps 256 kB of the database, not 2 MB: the system's cache is as quick, and shared.
    for pragma in ("journal_mode = WAL", "foreign_keys = ON", "cache_size = -256"):
        connection.execute(f"PRAGMA {pragma}")


# Who holds a lock may have stopped without being gone, and a lock is waited for as long as SQLite does.
_ENDS = {"lock_timeout": "5s", "statement_timeout": "15s", "idle_in_transaction_session_timeout": "15s"}


def _prepare_postgresql(connection: Any, _: object) -> None:
    for name, end in _ENDS.items():
        # Whoever set an end keeps it.
        connection.execute("SELECT set_config(%s, %s, false) WHERE current_setting(%s) = '0'", (name, end, name))
    connection.commit()


_PREPARE: dict[str, Callable[[Any, object], None]] = {"sqlite": _prepare_sqlite, "postgresql": _prepare_postgresql}
