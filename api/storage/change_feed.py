"""The change feed: the rows that changed in the database, as recorded by its triggers (api/models/change.py)."""

from collections.abc import Callable
from select import POLLIN, poll
from sys import maxsize
from time import monotonic
from typing import Any, NamedTuple, Protocol

from api.storage import triggers
from api.storage.database import Database

_PATIENCE_SECONDS = 1.0


class Change(NamedTuple):
    """A change of the row `subject` in the table `topic`. An empty subject means all rows of the table."""

    topic: str
    subject: str


class ChangeFeed(Protocol):
    """A feed of the changes since the feed was opened. A `read` covers all changes committed before the call."""

    def read(self) -> list[Change]:
        """Return the changes since the last read. If the call raises, changes may have been missed."""


class _Feed(ChangeFeed, Protocol):
    def triggers(self) -> list[str]:
        """Return the names of all active triggers."""


class FeedGap(Exception):
    """The feed cannot determine what changed."""


class Subscription(NamedTuple):
    """A feed and its dedicated connection."""

    feed: ChangeFeed
    connection: Any


def subscribe(database: Database) -> Subscription:
    """Open a feed of the changes from now on.

    Raises FeedGap if the database cannot provide a feed or lacks a trigger, or an exception of the driver.
    """
    # The connection bypasses the pool, because the feed matters most when all pooled connections are in use.
    dialect = database.engine.dialect
    arguments, options = dialect.create_connect_args(database.engine.url)
    connection = dialect.connect(*arguments, **options)
    try:
        feed = _FEEDS[dialect.name](connection)
        if names := triggers.missing(dialect.name, feed.triggers()):
            raise FeedGap(f"the database lacks the triggers {', '.join(names)}; run charter migrate")
        return Subscription(feed, connection)
    except BaseException:
        connection.close()
        raise


class _SqliteFeed:
    """SQLite: a table in the order of the commits. SQLite counts all rows ever inserted, so a gap is detected."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._schema, self._last = self._look(maxsize)[0][:2]

    def read(self) -> list[Change]:
        rows = self._look(self._last)
        schema, last = rows[0][:2]
        notes = [Change(topic, subject) for *_, number, topic, subject in rows if number is not None]
        # A restored backup has another schema version.
        if schema != self._schema or last - self._last != len(notes):
            raise FeedGap("unread changes were deleted, the schema has changed, or the database was replaced")
        self._last = last
        return notes

    def triggers(self) -> list[str]:
        return [name for (name,) in self._connection.execute(triggers.ACTIVE["sqlite"])]

    def _look(self, last: int) -> list[Any]:
        rows: list[Any] = self._connection.execute(_LOOK, (last,)).fetchall()
        return rows


_LOOK = """
    SELECT schema_version, latest, id, topic, subject
    FROM pragma_schema_version, (SELECT coalesce(max(seq), 0) AS latest FROM sqlite_sequence WHERE name = 'changes')
    LEFT JOIN changes ON id > ? ORDER BY id
"""


class _PostgresFeed:
    """PostgreSQL: LISTEN. Changes committed before a query is sent are delivered before the query ends.

    Queries go to libpq directly, which allows a timeout: a dead connection may never report an error.
    """

    def __init__(self, connection: Any) -> None:
        self._libpq = connection.pgconn
        self._arriving = poll()
        self._arriving.register(self._libpq.socket, POLLIN)
        if self._query(b"SELECT pg_backend_pid()")[0].get_value(0, 0) != b"%d" % self._libpq.backend_pid:
            raise FeedGap("LISTEN does not work through the connection pooler in front of PostgreSQL")
        self._query(b"LISTEN charter")

    def read(self) -> list[Change]:
        self._query(b"SELECT")
        return [_change(notice.extra.decode()) for notice in iter(self._libpq.notifies, None)]

    def triggers(self) -> list[str]:
        (result,) = self._query(triggers.ACTIVE["postgresql"].encode())
        return [result.get_value(row, 0).decode() for row in range(result.ntuples)]

    def _query(self, query: bytes) -> list[Any]:
        deadline = monotonic() + _PATIENCE_SECONDS
        self._libpq.send_query(query)
        self._libpq.flush()
        results = list(iter(lambda: self._result(deadline), None))
        for result in results:
            if result.error_message:
                raise FeedGap(result.error_message.decode())
        return results

    def _result(self, deadline: float) -> Any:
        while self._libpq.is_busy():
            if not self._arriving.poll(max(0.0, deadline - monotonic()) * 1000):
                raise FeedGap(f"PostgreSQL did not respond within {_PATIENCE_SECONDS:g} s")
            self._libpq.consume_input()
        return self._libpq.get_result()


_FEEDS: dict[str, Callable[[Any], _Feed]] = {"sqlite": _SqliteFeed, "postgresql": _PostgresFeed}


def _change(payload: str) -> Change:
    topic, _, subject = payload.partition(" ")
    return Change(topic, subject)
