"""The databases that the tests run on, and the settings of an application for each."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from api.config import Config
from api.config.mail_parsers import SmtpServer
from tests.support.patience import PATIENCE_SECONDS


@contextmanager
def created(postgres: URL, template: str, options: str = "") -> Iterator[URL]:
    """Create a copy of a PostgreSQL database, and drop it at the end. `template0` has no tables."""
    new = postgres.set(database=f"test_{uuid4().hex}")
    engine = administration(postgres)
    with engine.connect() as connection:
        # Copying the files costs less than the default, which writes all pages to the log.
        connection.execute(text(f"CREATE DATABASE {new.database} TEMPLATE {template} STRATEGY file_copy {options}"))
    yield new
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {new.database} WITH (FORCE)"))


@cache
def administration(postgres: URL) -> Engine:
    """Return the engine that creates and drops databases. It keeps its connection, because opening one costs 13 ms."""
    # A test may have ended the connection.
    return create_engine(postgres.set(database="postgres"), isolation_level="AUTOCOMMIT", pool_pre_ping=True)


LATIN1 = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
"""Options of a PostgreSQL database that cannot store every character."""

DATABASES = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}
"""The kind of a database, and the fixture that creates one."""


def settings(database_url: URL, data_dir: Path) -> Config:
    """Return the settings of an application on this database, with the cheapest hashes."""
    return Config(
        data_dir=data_dir,
        database_url=database_url,
        secret=bytes(range(32)),
        pepper=bytes(range(32, 64)),
        body_seconds=int(PATIENCE_SECONDS),
        bcrypt_cost=4,
        # Some tests run code during a hash, and that code logs other users in.
        hashes=4,
        check_answers="report",
        # A purge would disturb the tests that count statements or rows.
        background="off",
        # Most tests log in often, as the same user and from the same address.
        rate_limits=("off",),
        # Nothing listens there. Tests of mails deliver them to a server of their own.
        smtp_url=SmtpServer("127.0.0.1", 1, "", "", "auto"),
        mail_from="Charter <no-reply@example.com>",
    )


on_sqlite = pytest.mark.parametrize("config", ["sqlite"], indirect=True)
"""Run a test on SQLite only: it is about SQLite itself, or does not depend on the database."""


on_postgresql = pytest.mark.parametrize("config", ["postgresql"], indirect=True)
"""Run a test on PostgreSQL only."""
