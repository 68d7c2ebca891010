"""The change feeds of both databases: a feed never loses a change silently."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, text

from api.config import Config
from api.storage.change_feed import Change, FeedGap, Subscription, subscribe
from api.storage.database import Database
from tests.support.databases import on_sqlite
from tests.support.proxy import proxied
from tests.support.workers import INSERT_KEY, by_hand


@pytest.fixture
def engine(database: Database) -> Engine:
    return database.engine


@pytest.fixture
def following(database: Database) -> Iterator[Subscription]:
    following = subscribe(database)
    yield following
    following.connection.close()


def test_a_feed_returns_each_committed_change_once(engine: Engine, following: Subscription) -> None:
    assert following.feed.read() == []
    for _ in range(300):
        with engine.begin() as connection:
            connection.execute(text(INSERT_KEY))
            assert following.feed.read() == []
        assert following.feed.read() == [Change("signing_keys", "")]
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM signing_keys"))
        assert following.feed.read() == [Change("signing_keys", "")]
        assert following.feed.read() == []


def test_a_rolled_back_change_is_not_returned(engine: Engine, following: Subscription) -> None:
    with engine.connect() as connection:
        connection.execute(text(INSERT_KEY))
        connection.rollback()
    assert following.feed.read() == []


@pytest.fixture
def notes(config: Config) -> Iterator[sqlite3.Connection]:
    """Yield a connection to SQLite that writes change rows directly."""
    with closing(sqlite3.connect(str(config.database_url.database), isolation_level=None)) as connection:
        yield connection


def note(connection: sqlite3.Connection, count: int) -> None:
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO changes (topic, subject) VALUES ('sessions', ?)", [("a",)] * count)
    connection.execute("COMMIT")


def erase(which: str) -> Callable[[sqlite3.Connection, Path], None]:
    def run(connection: sqlite3.Connection, _: Path) -> None:
        note(connection, 5)
        last = connection.execute("SELECT max(id) FROM changes").fetchone()[0]
        connection.execute(f"DELETE FROM changes WHERE {which.format(last=last)}")  # noqa: S608

    return run


def put_back_a_backup(connection: sqlite3.Connection, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "backup.db")) as backup:
        connection.backup(backup)
        backup.backup(connection)


def pass_the_limit(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("INSERT INTO signing_keys (id, algorithm, sealed, created_at) VALUES ('a', '', '', '')")
    for _ in range(2):
        note(connection, 5_000)
    connection.execute("DELETE FROM signing_keys")


def count_anew(connection: sqlite3.Connection, _: Path) -> None:
    connection.execute("DELETE FROM changes")
    connection.execute("DELETE FROM sqlite_sequence")


@on_sqlite
@pytest.mark.parametrize(
    "lose",
    [
        erase("TRUE"),
        erase("id = {last}"),
        erase("id = {last} - 2"),
        erase("id = {last} - 4"),
        pass_the_limit,
        put_back_a_backup,
        count_anew,
    ],
)
def test_changes_deleted_before_they_are_read_raise_an_error(
    config: Config, notes: sqlite3.Connection, tmp_path: Path, lose: Callable[[sqlite3.Connection, Path], None]
) -> None:
    database = Database(config.database_url)
    note(notes, 3)
    feed, connection = subscribe(database)
    note(notes, 2)
    assert feed.read() == [Change("sessions", "a")] * 2
    lose(notes, tmp_path)
    with pytest.raises(FeedGap):
        feed.read()
    connection.close()
    database.dispose()


@on_sqlite
def test_changes_that_were_read_can_be_deleted(config: Config, notes: sqlite3.Connection) -> None:
    database = Database(config.database_url)
    feed, connection = subscribe(database)
    for _ in range(2):
        note(notes, 3)
        assert feed.read() == [Change("sessions", "a")] * 3
        notes.execute("DELETE FROM changes")
        assert feed.read() == []
    connection.close()
    database.dispose()


@on_sqlite
def test_the_newest_10000_changes_stay(config: Config, notes: sqlite3.Connection) -> None:
    note(notes, 12_000)
    by_hand(config, INSERT_KEY)
    assert notes.execute("SELECT count(*), max(id) FROM changes").fetchone() == (10_000, 12_001)


@on_sqlite
def test_a_database_without_the_changes_table_cannot_be_followed(config: Config) -> None:
    by_hand(config, "DROP TABLE changes")
    database = Database(config.database_url)
    with pytest.raises(sqlite3.OperationalError, match="no such table: changes"):
        subscribe(database)
    database.dispose()


def test_a_database_behind_a_pooler_cannot_be_followed(postgres_url: URL) -> None:
    with proxied(postgres_url) as proxy:
        database = Database(proxy.url)
        subscribe(database).connection.close()
        # A pooler invents the process id that it reports for the server.
        proxy.alter = lambda data: re.sub(rb"(?s)(?<=K\0\0\0\x0c)....", b"\0\0\0\0", data)
        with pytest.raises(FeedGap, match="LISTEN does not work through the connection pooler"):
            subscribe(database)
        database.dispose()
