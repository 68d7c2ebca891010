"""Workers on one database, and changes that other processes make to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, create_engine, event, select, text
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.config import Config
from api.services import users
from api.storage import change_monitor
from api.storage.change_feed import Change, Subscription, subscribe
from api.storage.database import Database
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person

INSERT_KEY = "INSERT INTO signing_keys (id, algorithm, sealed, created_at) VALUES ('a', 'ES256', '', '2026-01-01')"


@contextmanager
def worker(config: Config) -> Iterator[TestClient]:
    """Run the application, and yield a client without an account."""
    address = ("127.0.0.1", 50_000)
    with TestClient(create_app(config), base_url="http://127.0.0.1:8000", client=address) as client:
        yield client


def at(client: httpx.Client, person: Person) -> Person:
    """Return the same person as a client of another worker."""
    return replace(person, client=client)


def disable(config: Config, username: str) -> None:
    """Disable a user like `charter users disable`, without the second that the command takes to start."""
    database = Database(config.database_url)
    with database.transaction() as db:
        users.disable(db, username)
    database.dispose()


def by_hand(config: Config, statement: str) -> None:
    """Execute a statement outside the application. SQLite does not check foreign keys then."""
    engine = create_engine(config.database_url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def stored_bytes(config: Config) -> bytes:
    """Return all content of a database: the files of SQLite, or each cell of each table of PostgreSQL."""
    if not config.is_shared:
        return b"".join(
            file.read_bytes() for file in Path(str(config.database_url.database)).parent.glob("charter.db*")
        )
    engine = create_engine(config.database_url)
    with engine.connect() as connection:
        rows = [row for table in models.METADATA.tables.values() for row in connection.execute(select(table))]
    engine.dispose()
    return b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)


@contextmanager
def statements() -> Iterator[list[str]]:
    """Yield a list that grows by each statement that any engine of this process sends."""
    sent: list[str] = []

    def note(_: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


class Counted:
    """A feed that counts its reads."""

    def __init__(self, following: Subscription) -> None:
        self.following = following
        self.reads = 0

    def read(self) -> list[Change]:
        self.reads += 1
        return self.following.feed.read()


class MonitorClock:
    """The clock that determines how old a worker's knowledge is. Only a test moves it."""

    FRESH, EARLY = PATIENCE_SECONDS, 0.8 * PATIENCE_SECONDS
    """The maximum age, and the age at which a worker polls again. Both leave a busy machine enough time for a poll."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._moved = 0.0
        # Each reading differs from the one before: a poll counts only if it began after the last invalidation.
        self._ticks = count()
        monkeypatch.setattr(change_monitor, "monotonic", lambda: self._moved + next(self._ticks) * 1e-9)
        monkeypatch.setattr(change_monitor, "_MAX_STALENESS", self.FRESH)
        monkeypatch.setattr(change_monitor, "_REFRESH_AFTER", self.EARLY)

    def move(self, seconds: float) -> None:
        self._moved += seconds


def counting(monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    """Return a list that grows by each feed that is opened from now on."""
    found: list[Counted] = []

    def count(database: Database) -> Subscription:
        found.append(Counted(subscribe(database)))
        return Subscription(found[-1], found[-1].following.connection)

    monkeypatch.setattr(change_monitor, "subscribe", count)
    return found
