"""The database engine: driver, connection pool, timeouts and the preparation of each connection."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from select import POLLIN, poll
from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Dialect, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.exc import TimeoutError  # noqa: A004 - the error of the pool

if TYPE_CHECKING:
    import sqlite3


def make_engine(url: URL, connections: int) -> Engine:
    """Return an engine with at most `connections` connections. Timeouts in the URL override the defaults."""
    backend = url.get_backend_name()
    kept = min(10, connections)
    engine = create_engine(
        url.set(query=_PARAMETERS[backend] | dict(url.query)),
        pool_size=kept,
        max_overflow=connections - kept,
        pool_timeout=4,
        # The connection that was used last has the pages and plans of its statements in its cache.
        pool_use_lifo=True,
        # A logged error quotes its statement, but not the values, such as names and hashes.
        hide_parameters=True,
        **_OPTIONS[backend],
    )
    if backend == "postgresql":
        # The driver's own ping is a round trip, one in five of a refresh.
        engine.dialect.do_ping = _is_quiet  # type: ignore[assignment]
    else:
        _WriterLock(float(str(engine.url.query["timeout"]))).attach(engine)
    event.listen(engine, "connect", lambda connection, _: _ON_CONNECT[backend](connection, engine.dialect))
    event.listen(engine, "handle_error", _redact_row_values)
    event.listen(engine, "handle_error", _leave_standby)
    return engine


@contextmanager
def outside_transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a connection for a single statement without a transaction.

    On PostgreSQL, that saves two of three round trips. On SQLite, a query begins no transaction anyway, and a write
    must be committed.
    """
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        # Behind a pooler, only a transaction has limits for its waits.
        if connection.dialect.name != "postgresql" or is_pooled(driver):
            yield connection
            return
        # The isolation level AUTOCOMMIT of SQLAlchemy makes 200 more calls in Python, and sends the same.
        driver.autocommit = True
        try:
            yield connection
            driver.autocommit = False
        except BaseException:
            # Only a connection without autocommit may return to the pool.
            connection.invalidate()
            raise


class _WriterLock:
    """Lets one thread of this process write to SQLite at a time.

    SQLite does not queue for its write lock. Threads that wait for it sleep up to 100 ms at a time and then race.
    """

    def __init__(self, seconds: float) -> None:
        self._lock = Lock()
        self._seconds = seconds
        self._holder: object = None

    def attach(self, engine: Engine) -> None:
        """Acquire the lock before the first write of each transaction, and release it with the connection."""
        # An event for each statement would cost a third of a short transaction.
        engine.dialect.do_execute = partial(self._execute, "execute")  # type: ignore[method-assign]
        engine.dialect.do_executemany = partial(self._execute, "executemany")  # type: ignore[method-assign]
        for moment in ("checkin", "invalidate", "close"):
            event.listen(engine, moment, self._release)

    def _execute(
        self, method: str, cursor: "sqlite3.Cursor", statement: str, parameters: Any, _: object = None
    ) -> None:
        if not cursor.connection.in_transaction and statement.lstrip()[:6].upper() in _WRITES:
            self._acquire(cursor.connection)
        getattr(cursor, method)(statement, parameters)

    def _acquire(self, connection: "sqlite3.Connection") -> None:
        if self._holder is connection:
            return
        if not self._lock.acquire(timeout=self._seconds):
            raise TimeoutError("another thread held the write lock too long")
        self._holder = connection

    def _release(self, connection: object, *_: object) -> None:
        if connection is not None and connection is self._holder:
            self._holder = None
            self._lock.release()


# The statements at which sqlite3 begins a transaction, cut to six letters.
_WRITES = {"INSERT", "UPDATE", "DELETE", "REPLAC"}

# Default parameters of the query of the URL.
_PARAMETERS = {
    # Other processes race for the write lock. Wait up to 8 seconds.
    "sqlite": {"timeout": "8"},
    # A failed host sends no notice. Detecting a dead connection and giving up the next attempt takes 4.5 seconds.
    "postgresql": {
        "connect_timeout": "2",
        "keepalives_idle": "1",
        "keepalives_interval": "1",
        "keepalives_count": "1",
        "tcp_user_timeout": "2500",
        # The default is the encoding of the database, in which the driver may not find a character.
        "client_encoding": "utf8",
    },
}

_OPTIONS: dict[str, dict[str, Any]] = {
    # sqlite3 then begins a transaction at the first statement that writes, and acquires the write lock at once. A
    # transaction that began by reading could not wait for that lock. Earlier reads hold no lock, so a slow hash
    # blocks no other request.
    "sqlite": {"connect_args": {"isolation_level": "IMMEDIATE"}},
    "postgresql": {"pool_pre_ping": True},
}


def _prepare_sqlite(connection: "sqlite3.Connection", _: Dialect) -> None:
    # Each connection caches 256 kB of the database, not 2 MB: the system's cache is as fast, and shared.
    for pragma in ("journal_mode = WAL", "foreign_keys = ON", "cache_size = -256"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_postgresql(connection: Any, dialect: Dialect) -> None:
    process = connection.info.backend_pid
    settings = f"SELECT pg_backend_pid(), ({_SETTINGS} AND pg_backend_pid() = {process:d})"
    if connection.execute(settings, {"local": False}).fetchone()[0] != process:
        # A pooler reports an invented process. In transaction mode, each transaction may run on another connection of
        # the server: prepared statements and settings of a session are unknown there, or belong to another client.
        connection.prepare_threshold = None
        dialect.do_begin = _apply_settings  # type: ignore[method-assign, assignment]
    connection.commit()


def is_pooled(driver: Any) -> bool:
    """Return True if a pooler is between this connection and PostgreSQL."""
    return driver.prepare_threshold is None


def encoding_of(connection: Connection) -> str:
    """Return the encoding of a PostgreSQL database, such as UTF8."""
    return str(connection.scalar(text("SHOW server_encoding")))


def _apply_settings(connection: Any) -> None:
    """Apply the settings to one transaction behind a pooler. This costs a round trip."""
    connection.driver_connection.execute(f"SELECT ({_SETTINGS})", {"local": True})


# A client that holds a lock may hang without disconnecting. Timeouts that are already set are kept.
# The driver reads times in the ISO style only.
_SETTINGS = """
    SELECT count(set_config(name, value, %(local)s)) FROM (VALUES
        ('lock_timeout', '5s'), ('statement_timeout', '15s'), ('idle_in_transaction_session_timeout', '15s'),
        ('DateStyle', 'ISO')
    ) AS settings (name, value) WHERE (current_setting(name) = '0' OR name = 'DateStyle')
"""


def _is_quiet(connection: Any) -> bool:
    """Return True unless an idle connection has data to read, which signals the end of the connection.

    The keepalives above end a connection to a host that is gone.
    """
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    return not waiting.poll(0)


_ON_CONNECT: dict[str, Callable[[Any, Dialect], None]] = {"sqlite": _prepare_sqlite, "postgresql": _prepare_postgresql}


def _redact_row_values(context: ExceptionContext) -> None:
    """Remove the row that PostgreSQL quotes below an error's message, because a log must not contain hashes."""
    diagnosis = getattr(context.original_exception, "diag", None)
    if diagnosis is not None and diagnosis.message_detail is not None:
        context.original_exception.args = (diagnosis.message_primary,)
        if context.sqlalchemy_exception is not None:
            context.sqlalchemy_exception.args = (f"({type(context.original_exception)}) {diagnosis.message_primary}",)


def _leave_standby(context: ExceptionContext) -> None:
    """Close all pooled connections if the server accepts no writes, because a failover may have made it a standby.

    A standby answers each ping, so the pool would keep its connections. The next ones lead to the new primary.
    """
    if getattr(context.original_exception, "sqlstate", None) == "25006":
        context.is_disconnect = True
