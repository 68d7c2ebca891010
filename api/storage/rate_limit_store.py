"""The budgets of rate limits: one row for each key, with the generic cell rate algorithm (GCRA).

A row holds the theoretical arrival time (TAT): when the budget is full again. Each request moves it one step into the
future. A request is refused if that would move it further than one window. Times are microseconds since 1970.

On PostgreSQL, the table is unlogged: it survives a restart, and a crash empties it. On SQLite, it is in a file of its
own beside the database, so requests never wait for the write lock of the database.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Executable,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    case,
    delete,
    event,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.schema import CreateTable

from api.errors import DatabaseUnavailable
from api.storage.database import METADATA, Database, SchemaMismatch, translate_errors
from api.storage.engine import make_engine

_log = logging.getLogger("charter.database")
MICROSECONDS = 1_000_000
_KEY_BYTES = 16
_MAX_SKEW = 60 * MICROSECONDS

RATE_LIMIT_METADATA = MetaData(naming_convention=METADATA.naming_convention)
"""The tables that only PostgreSQL has in the database itself. Its migration also makes the table unlogged."""

_limits = Table(
    "rate_limits",
    RATE_LIMIT_METADATA,
    Column("key", LargeBinary, primary_key=True),
    Column("tat", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
CREATE_TABLE = CreateTable(_limits, if_not_exists=True)
_key, _tat = _limits.c.key, _limits.c.tat
_now, _step = bindparam("now", type_=BigInteger), bindparam("step", type_=BigInteger)
_is_of = _key == bindparam("of_key")
# No request moves a time beyond one window, so a later time shows that the clock was set back. The budget begins anew.
# The clocks of hosts may differ by a minute, and by a window if that is shorter.
_base = case((or_(_tat > bindparam("far"), _tat < _now), _now), else_=_tat)
_moved = _base + _step
_has_room = _base <= bindparam("latest", type_=BigInteger)

_RETAKE = update(_limits).where(_is_of, _has_room).values(tat=_moved).returning(_tat)
_FIND = select(_tat).where(_is_of)
_less = _tat - _step
# A full budget has the time 0. The time of the refund would be in the future if the clock is set back later.
_GIVE_BACK = update(_limits).where(_is_of).values(tat=case((_less <= _now, literal(0, BigInteger)), else_=_less))
_CLEAR = delete(_limits).where(_is_of)
_NEXT = select(_key, _tat).where(_key > bindparam("after")).order_by(_key).limit(bindparam("rows"))
_PURGE = delete(_limits).where(_is_of, _tat < _now)


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
        self._engine, self._file = _engine_beside(database)
        self._take = _statement_to_take(self._engine.dialect.name)
        self._is_behind = database.is_behind
        self._identity: tuple[int, int] | None = None
        self._after = b""
        self.size = 0

    def take(self, takes: Sequence[Take], now: int, *, accepts_new: bool) -> dict[bytes, int] | Refusal:
        """Take all units and return the new times by key. If one is refused, take none and return the refusal.

        Raises DatabaseUnavailable if the table cannot be used.
        """
        statement = self._take if accepts_new else _RETAKE
        taken: dict[bytes, int] = {}
        with self._connect() as connection:
            # All processes lock the rows in the same order.
            for take in sorted(takes):
                row = connection.execute(statement, _values(take, now)).first()
                if row is None:
                    found = connection.execute(_FIND, {"of_key": take.key}).first()
                    return Refusal(take, found.tat if found else None)
                taken[take.key] = row.tat
            connection.commit()
        return taken

    def give_back(self, takes: Sequence[Take], now: int) -> None:
        """Return units that were taken. Raises DatabaseUnavailable if the table cannot be used."""
        values = [{"of_key": take.key, "step": take.step, "now": now} for take in sorted(takes)]
        with self._connect() as connection:
            connection.execute(_GIVE_BACK, values)
            connection.commit()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """Return the times of the budgets that have a row."""
        with self._connect() as connection:
            rows = {key: connection.execute(_FIND, {"of_key": key}).first() for key in keys}
        return {key: row.tat for key, row in rows.items() if row is not None}

    def clear(self, keys: Sequence[bytes]) -> int:
        """Delete budgets, so that they are full. Return how many had a row."""
        with self._connect() as connection:
            count = sum(connection.execute(_CLEAR, {"of_key": key}).rowcount for key in sorted(keys))
            connection.commit()
        return count

    def purge(self, now: int, rows: int) -> None:
        """Delete the full budgets among the next `rows` rows, and estimate the size of the table.

        The keys are evenly distributed, so the part of all keys that some rows span shows how many rows there are.
        """
        with self._connect() as connection:
            found = connection.execute(_NEXT, {"after": self._after, "rows": rows}).all()
            # In the order of the keys, like `take`. A statement for a range locks the rows in the order of the disk.
            full = [{"of_key": row.key, "now": now} for row in found if row.tat < now]
            if full:
                connection.execute(_PURGE, full)
                connection.commit()
        if len(found) == rows:
            after, self._after = self._after, bytes(found[-1].key)
            self.size = round(rows / (_fraction(self._after) - _fraction(after)))
            return
        if not self._after:
            self.size = 0
        self._after = b""

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        if self._file is None:
            try:
                with translate_errors(self._is_behind), self._engine.connect() as connection:
                    yield connection
            except (SchemaMismatch, ProgrammingError) as error:
                # The database lacks the table or a right to it.
                _log.error("rate_limits_unusable", extra={"facts": {"cause": str(getattr(error, "orig", error))}})
                raise DatabaseUnavailable() from error
            return
        if _identity_of(self._file) != self._identity:
            # SQLite would continue to use a deleted file, but other processes would not.
            self._engine.dispose()
            self._identity = None
        try:
            with translate_errors(), self._engine.connect() as connection:
                self._identity = self._identity or _identity_of(self._file)
                yield connection
        except DatabaseUnavailable:
            # The next connection creates the table if the file lacks it.
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close all connections that are not those of the database."""
        self._engine.dispose()


def _statement_to_take(dialect: str) -> Executable:
    """Return the statement that takes a unit, and creates the row of a budget that has none.

    Only the dialect of the database is imported, because that of PostgreSQL takes 5 MB.
    """
    insert = import_module(f"sqlalchemy.dialects.{dialect}").insert
    row = insert(_limits).values(key=bindparam("of_key"), tat=_now + _step)
    return row.on_conflict_do_update(index_elements=[_key], set_={"tat": _moved}, where=_has_room).returning(_tat)  # type: ignore[no-any-return]


def _values(take: Take, now: int) -> dict[str, Any]:
    return {
        "of_key": take.key,
        "now": now,
        "step": take.step,
        "latest": now + take.window - take.step,
        "far": now + take.window + min(take.window, _MAX_SKEW),
    }


def _fraction(key: bytes) -> float:
    return int.from_bytes(key.ljust(_KEY_BYTES, b"\x00")) / 2.0 ** (8 * _KEY_BYTES)


def _engine_beside(database: Database) -> tuple[Engine, Path | None]:
    """Return the engine of the table: that of PostgreSQL, or one for a file beside that of SQLite, with the file."""
    url = database.engine.url
    if url.get_backend_name() != "sqlite":
        return database.engine, None
    file = Path(f"{url.database}-limits")
    # A transaction of another process takes less than a millisecond, unless the machine is busy.
    beside = URL.create(url.drivername, database=str(file), query={"timeout": "2"})
    engine = make_engine(beside, RateLimitStore.CONNECTIONS)
    create_table = str(CREATE_TABLE.compile(engine))

    def prepare(connection: Any, _: object) -> None:
        # After a crash of the host, the file may lack the last requests.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(create_table)

    event.listen(engine, "connect", prepare)
    return engine, file


def _identity_of(file: Path) -> tuple[int, int] | None:
    """Return the device and the number of a file, which a new file of the same name does not have."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
