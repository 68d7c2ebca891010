"""Fixtures of the server tests: settings with SQLite, and raw connections to a live server."""

from collections.abc import Callable, Iterator

import pytest

from api.config import Config
from tests.support.raw_http import RawConnection


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    """The settings, with a SQLite database."""
    return sqlite_config


@pytest.fixture
def connect(server: str) -> Iterator[Callable[[], RawConnection]]:
    """A function that opens a raw connection to the live server. Closes all of them at the end."""
    connections = []

    def connect() -> RawConnection:
        connections.append(RawConnection(server))
        return connections[-1]

    yield connect
    for connection in connections:
        connection.close()
