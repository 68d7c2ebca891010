"""The databases that the tests run on, and the settings of an application on one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL, create_engine, text

from api.config import Config
from tests.support.patience import PATIENCE_SECONDS


@contextmanager
def created(postgres: URL, template: str) -> Iterator[URL]:
    """A copy of a database in PostgreSQL, which goes at the end; `template0` is without any table."""
    new = postgres.set(database=f"test_{uuid4().hex}")
    engine = create_engine(postgres.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {new.database} TEMPLATE {template}"))
    yield new
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {new.database} WITH (FORCE)"))
    engine.dispose()


DATABASES = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}
"""What a test is run on, and the fixture that makes one."""


def settings(database_url: URL, data_dir: Path) -> Config:
    """Those of an application on this database; hashes are the cheapest there are."""
    return Config(
        data_dir=data_dir,
        database_url=database_url,
        secret=bytes(range(32)),
        pepper=bytes(range(32, 64)),
        body_seconds=int(PATIENCE_SECONDS),
        bcrypt_cost=4,
        # Some look around from within a hash, and log others in.
        hashes=4,
        check_answers="report",
        # Tests that count statements or rows are not disturbed by a purge.
        background="off",
    )


on_sqlite = pytest.mark.parametrize("config", ["sqlite"], indirect=True)
"""For what is about SQLite itself, or about nothing that a database has a part in."""


on_postgresql = pytest.mark.parametrize("config", ["postgresql"], indirect=True)
"""For what is about PostgreSQL itself."""
