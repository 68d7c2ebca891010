"""The budgets of rate limits: one row for each key, with the generic cell rate algorithm (GCRA).

A row holds the theoretical arrival time (TAT): when the budget is full again. Each request moves it one step into the
future. A request is refused if that would move it further than one window. Times are microseconds since 1970.

On PostgreSQL, the table is unlogged: it survives a restart, and a crash empties it. On SQLite, it is in a file of its
own beside the database, so requests never wait for the write lock of the database.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    Table,
    and_,
    bindparam,
    case,
    delete,
    event,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from api.storage.database import Base, Database, translate_errors
from api.storage.engine import make_engine

MICROSECONDS = 1_000_000
_KEY_BYTES = 16
_HIGHEST = b"\xff" * _KEY_BYTES

METADATA = MetaData(naming_convention=Base.metadata.naming_convention)
"""The tables that only PostgreSQL has in the database itself. Its migration also makes the table unlogged."""

_limits = Table(
    "rate_limits",
    METADATA,
    Column("key", LargeBinary, primary_key=True),
    Column("tat", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
TABLE_ON_SQLITE = str(CreateTable(_limits, if_not_exists=True).compile(dialect=sqlite.dialect()))
_key, _tat = _limits.c.key, _limits.c.tat
_now = bindparam("now", type_=BigInteger)
_is_of = _key == bindparam("of_key")
# A time that is more than two windows ahead shows that the clock was set back. The budget begins anew.
_base = case((or_(_tat > bindparam("far"), _tat < _now), _now), else_=_tat)
_moved = _base + bindparam("step", type_=BigInteger)
_has_room = _base <= bindparam("latest", type_=BigInteger)

_RETAKE = update(_limits).where(_is_of, _has_room).values(tat=_moved).returning(_tat)
_TAKE = {
    name: insert(_limits)
    .values(key=bindparam("of_key"), tat=bindparam("first"))
    .on_conflict_do_update(index_elements=[_key], set_={"tat": _moved}, where=_has_room)
    .returning(_tat)
    for name, insert in (("postgresql", postgresql.insert), ("sqlite", sqlite.insert))
}
_FIND = select(_tat).where(_is_of)
_GIVE_BACK = update(_limits).where(_is_of).values(tat=_tat - bindparam("step"))
_CLEAR = delete(_limits).where(_is_of)
_LAST_OF_NEXT = select(_key).where(_key > bindparam("after")).order_by(_key).limit(1).offset(bindparam("beyond"))
_PURGE = delete(_limits).where(and_(_key > bindparam("after"), _key <= bindparam("last")), _tat < _now)


class Take(NamedTuple):
    """A request for one unit of the budget `key`: one of `window / step` units, in microseconds."""

    key: bytes
    step: int
    window: int


class Refusal(NamedTuple):
    """The take that was refused. `tat` is None if the budget has no row and the table accepts no new one."""

    take: Take
    tat: int | None


class RateLimitStore:
    """The table of budgets, shared by all processes that use the same database.

    `size` is the number of rows, as the last purge estimated it. It is 0 for a table of fewer rows than a purge reads.
    """

    CONNECTIONS = 4

    def __init__(self, database: Database) -> None:
        self._engine = _engine_beside(database)
        self._is_behind = database.is_behind
        self._after = b""
        self.size = 0

    def open(self) -> None:
        """Create the file and the table on SQLite, if they do not exist. Call this once at the start of a process."""
        if self._engine.dialect.name == "sqlite":
            # Creating the file locks it, so other processes wait longer than a request does.
            with closing(sqlite3.connect(str(self._engine.url.database), timeout=8)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(TABLE_ON_SQLITE)

    def take(self, takes: Sequence[Take], now: int, *, accepts_new: bool) -> dict[bytes, int] | Refusal:
        """Take all units and return the new times by key. If one is refused, take none and return the refusal.

        Raises DatabaseUnavailable if the table cannot be used.
        """
        statement = _TAKE[self._engine.dialect.name] if accepts_new else _RETAKE
        taken: dict[bytes, int] = {}
        with translate_errors(self._is_behind), self._engine.connect() as connection:
            # All processes lock the rows in the same order.
            for take in sorted(takes):
                row = connection.execute(statement, _values(take, now)).first()
                if row is None:
                    found = connection.execute(_FIND, {"of_key": take.key}).first()
                    return Refusal(take, found.tat if found else None)
                taken[take.key] = row.tat
            connection.commit()
        return taken

    def give_back(self, takes: Sequence[Take]) -> None:
        """Return units that were taken. Raises DatabaseUnavailable if the table cannot be used."""
        with translate_errors(self._is_behind), self._engine.connect() as connection:
            for take in sorted(takes):
                connection.execute(_GIVE_BACK, {"of_key": take.key, "step": take.step})
            connection.commit()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """Return the times of the budgets that have a row."""
        with translate_errors(self._is_behind), self._engine.connect() as connection:
            rows = {key: connection.execute(_FIND, {"of_key": key}).first() for key in keys}
        return {key: row.tat for key, row in rows.items() if row is not None}

    def clear(self, keys: Sequence[bytes]) -> int:
        """Delete budgets, so that they are full. Return how many had a row."""
        with translate_errors(self._is_behind), self._engine.connect() as connection:
            count = sum(connection.execute(_CLEAR, {"of_key": key}).rowcount for key in sorted(keys))
            connection.commit()
        return count

    def purge(self, now: int, rows: int) -> None:
        """Delete the full budgets among the next `rows` rows, and estimate the size of the table.

        The keys are evenly distributed, so the part of all keys that some rows span shows how many rows there are.
        """
        with translate_errors(self._is_behind), self._engine.connect() as connection:
            after, last = self._after, self._last(connection, rows)
            connection.execute(_PURGE, {"after": after, "last": last or _HIGHEST, "now": now})
            connection.commit()
        self._after = last or b""
        if last is not None:
            self.size = round(rows / (_fraction(last) - _fraction(after)))
        elif not after:
            self.size = 0

    def _last(self, connection: Connection, rows: int) -> bytes | None:
        found = connection.execute(_LAST_OF_NEXT, {"after": self._after, "beyond": rows - 1}).first()
        return None if found is None else bytes(found.key)

    def close(self) -> None:
        """Close all connections that are not those of the database."""
        self._engine.dispose()


def _values(take: Take, now: int) -> dict[str, Any]:
    return {
        "of_key": take.key,
        "first": now + take.step,
        "now": now,
        "step": take.step,
        "latest": now + take.window - take.step,
        "far": now + 2 * take.window,
    }


def _fraction(key: bytes) -> float:
    return int.from_bytes(key.ljust(_KEY_BYTES, b"\x00")) / 2.0 ** (8 * _KEY_BYTES)


def _engine_beside(database: Database) -> Engine:
    """Return the engine of the table: that of PostgreSQL, or one for a file beside that of SQLite."""
    url = database.engine.url
    if url.get_backend_name() != "sqlite":
        return database.engine
    file = URL.create(url.drivername, database=f"{url.database}-limits", query={"timeout": "0.25"})
    engine = make_engine(file, RateLimitStore.CONNECTIONS)
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _: object) -> None:
    # After a crash of the host, the file may lack the last requests.
    connection.execute("PRAGMA synchronous = OFF")
