"""What changes in the database, whoever changes it, as its triggers note it (api/models/change.py)."""

from collections.abc import Callable
from selectors import EVENT_READ, DefaultSelector
from sys import maxsize
from time import monotonic
from typing import Any, NamedTuple, Protocol

from api.database import Database

_PATIENCE_SECONDS = 1.0


class Change(NamedTuple):
    """That the row `subject` of the table `topic` is not what it was; an empty subject is all of its rows."""

    topic: str
    subject: str


class Feed(Protocol):
    """Tells what changes from now on; all that was committed before a `read` began is known when it returns."""

    def read(self) -> list[Change]:
        """What changed since the last time; whatever it raises, something may have been missed."""


class ChangesMissed(Exception):
    """The feed cannot tell what changed."""


class Following(NamedTuple):
    """A feed, and the connection that is its own."""

    feed: Feed
    connection: Any


def follow(database: Database) -> Following:
    """A feed of the changes from now on; raises what the driver raises when there is none to be had."""
    # No pool counts or lends it: where all connections are in use, it is needed most.
    dialect = database.engine.dialect
    arguments, options = dialect.create_connect_args(database.engine.url)
    connection = dialect.connect(*arguments, **options)
    try:
        return Following(_FEEDS[dialect.name](connection), connection)
    except BaseException:
        connection.close()
        raise


class _Notes:
    """SQLite: a table, in the order of the commits. The database counts the notes ever made, so none is missed."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._schema, self._last = self._look(maxsize)[0][:2]

    def read(self) -> list[Change]:
        rows = self._look(self._last)
        schema, last = rows[0][:2]
        notes = [Change(topic, subject) for *_, number, topic, subject in rows if number is not None]
        # A backup that is put back counts as another schema.
        if schema != self._schema or last - self._last != len(notes):
            raise ChangesMissed("notes are gone that were not read yet, or the database is another")
        self._last = last
        return notes

    def _look(self, last: int) -> list[Any]:
        rows: list[Any] = self._connection.execute(_LOOK, (last,)).fetchall()
        return rows


_LOOK = """
    SELECT schema_version, latest, id, topic, subject
    FROM pragma_schema_version, (SELECT coalesce(max(seq), 0) AS latest FROM sqlite_sequence WHERE name = 'changes')
    LEFT JOIN changes ON id > ? ORDER BY id
"""


class _Channel:
    """PostgreSQL: LISTEN. What was committed before a query is sent is delivered before its end is.

    It speaks to libpq itself, which can stop waiting: a connection may be dead without anybody saying so.
    """

    def __init__(self, connection: Any) -> None:
        self._libpq = connection.pgconn
        if self._ask(b"SELECT pg_backend_pid()")[0].get_value(0, 0) != b"%d" % self._libpq.backend_pid:
            raise ChangesMissed("a connection pooler stands before PostgreSQL, and LISTEN cannot pass it")
        self._ask(b"LISTEN charter")

    def read(self) -> list[Change]:
        self._ask(b"SELECT")
        return [_change(notice.extra.decode()) for notice in iter(self._libpq.notifies, None)]

    def _ask(self, query: bytes) -> list[Any]:
        deadline = monotonic() + _PATIENCE_SECONDS
        self._libpq.send_query(query)
        self._libpq.flush()
        results = list(iter(lambda: self._result(deadline), None))
        for result in results:
            if result.error_message:
                raise ChangesMissed(result.error_message.decode())
        return results

    def _result(self, deadline: float) -> Any:
        with DefaultSelector() as selector:
            selector.register(self._libpq.socket, EVENT_READ)
            while self._libpq.is_busy():
                if not selector.select(max(0.0, deadline - monotonic())):
                    raise ChangesMissed(f"PostgreSQL did not answer within {_PATIENCE_SECONDS:g} s")
                self._libpq.consume_input()
        return self._libpq.get_result()


_FEEDS: dict[str, Callable[[Any], Feed]] = {"sqlite": _Notes, "postgresql": _Channel}


def _change(payload: str) -> Change:
    topic, _, subject = payload.partition(" ")
    return Change(topic, subject)
