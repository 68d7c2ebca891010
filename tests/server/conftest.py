"""Fixtures of the server tests: settings with SQLite, and raw connections to a live server."""

import asyncio
from collections.abc import Callable, Iterator
from weakref import WeakSet

import pytest

from api.config import Config
from api.server.protocol import BoundedProtocol
from tests.support.raw_http import RawConnection


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    """The settings, with a SQLite database."""
    return sqlite_config


@pytest.fixture
def connect(server: str) -> Iterator[Callable[[], RawConnection]]:
    """A function that opens a raw connection to the live server. Closes all of them at the end."""
    opened = []

    def connect() -> RawConnection:
        opened.append(RawConnection(server))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> WeakSet[BoundedProtocol]:
    """The connections of servers in this process that begin from now on and are still in memory."""
    found: WeakSet[BoundedProtocol] = WeakSet()
    begin = BoundedProtocol.connection_made

    def remember(protocol: BoundedProtocol, transport: asyncio.Transport) -> None:
        found.add(protocol)
        begin(protocol, transport)

    monkeypatch.setattr(BoundedProtocol, "connection_made", remember)
    return found
