"""PostgreSQL databases with uncommon settings: they work, or `charter migrate` names the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import URL, Engine, create_engine, text
from starlette.testclient import TestClient

from api.app import create_app
from api.storage import revisions
from api.storage.database import Database
from tests.support.databases import LATIN1, created, settings
from tests.support.person import newcomer


@contextmanager
def altered(postgres: URL, *changes: str) -> Iterator[URL]:
    """Create an empty database, change its settings, and yield its URL."""
    with created(postgres, "template0") as url:
        _execute(postgres, *(change.format(url.database) for change in changes))
        yield url


def _execute(postgres: URL, *statements: str) -> None:
    engine = create_engine(postgres.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def migrated(url: URL) -> Engine:
    database = Database(url)
    try:
        revisions.upgrade(database.engine)
    finally:
        database.dispose()
    return database.engine


@pytest.mark.parametrize(
    "change",
    [
        "DateStyle = 'German, DMY'",
        "timezone = 'Asia/Kathmandu'",
        "default_transaction_isolation = 'serializable'",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
        "client_encoding = 'LATIN1'",
    ],
)
def test_the_settings_of_a_database_do_not_matter(postgres: URL, tmp_path: Path, change: str) -> None:
    with altered(postgres, f"ALTER DATABASE {{}} SET {change}") as url:
        migrated(url)
        with TestClient(create_app(settings(url, tmp_path))) as client:
            alice = newcomer(client, "alice")
            assert alice.get("/api/v1/me").status_code == 200
            assert alice.refresh().status_code == 200


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_new_database_requires_utf8(postgres: URL, encoding: str) -> None:
    with (
        created(postgres, "template0", LATIN1.replace("LATIN1", encoding)) as url,
        pytest.raises(revisions.DatabaseUnsuitable, match=f"must be UTF8, not {encoding}; create one with"),
    ):
        migrated(url)


def test_an_existing_database_in_another_encoding_is_named_as_the_cause(postgres: URL) -> None:
    with created(postgres, "template0", LATIN1) as url:
        database = Database(url)
        with revisions.migrating(database.engine) as alembic:
            command.upgrade(alembic, "0004")
        with pytest.raises(revisions.DatabaseUnsuitable, match="must be UTF8, not LATIN1; create one with"):
            revisions.upgrade(database.engine)
        assert revisions.current(database.engine) == "0004"
        database.dispose()


def test_a_user_without_rights_is_named_as_the_cause(postgres: URL) -> None:
    role = f"role_{uuid4().hex}"
    _execute(postgres, f"CREATE ROLE {role} LOGIN")
    try:
        with (
            altered(postgres) as url,
            pytest.raises(revisions.DatabaseUnsuitable, match="permission denied for schema"),
        ):
            migrated(url.set(username=role, password=None))
    finally:
        _execute(postgres, f"DROP ROLE {role}")


def test_a_search_path_without_a_schema_is_named_as_the_cause(postgres: URL) -> None:
    nowhere = "ALTER DATABASE {} SET search_path = nowhere"
    with altered(postgres, nowhere) as url, pytest.raises(revisions.DatabaseUnsuitable, match="no schema"):
        migrated(url)
