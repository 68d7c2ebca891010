"""Tables and columns that the database lacks: before a migration, and if no migration creates them."""

import io

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api.storage.database import Database
from tests.support.log_stream import lines
from tests.support.person import Person
from tests.support.problems import assert_problem


def test_a_missing_migration_is_reported(client: TestClient, database: Database) -> None:
    with database.transaction() as db:
        db.run(text("UPDATE alembic_version SET version_num = '0000'"))
    response = client.get("/ready")
    assert_problem(response, 503, "MIGRATIONS_BEHIND")


def test_an_operation_on_an_older_schema_reports_the_missing_migration(
    client: TestClient, alice: Person, database: Database, log: io.StringIO
) -> None:
    with database.transaction() as db:
        db.run(text("UPDATE alembic_version SET version_num = '0000'"))
    # The older schema still serves what it can.
    assert alice.log_in().status_code == 200
    with database.transaction() as db:
        db.run(text("ALTER TABLE users RENAME COLUMN email TO mail"))
    for response in (Person(client, "bobby").sign_up(), alice.log_in()):
        assert_problem(response, 503, "MIGRATIONS_BEHIND")
        assert "Run charter migrate of the newest release" in response.json()["detail"]
    assert {line["event"] for line in lines(log, "database")} == {"migrations_behind"}


def test_an_operation_without_a_schema_reports_the_missing_migration(client: TestClient, database: Database) -> None:
    with database.transaction() as db:
        for table in ("api_keys", "codes", "known_places", "retired_names", "sessions", "users", "alembic_version"):
            db.run(text(f"DROP TABLE {table}"))
    assert_problem(Person(client, "alice").sign_up(), 503, "MIGRATIONS_BEHIND")


@pytest.mark.parametrize(
    "statement", ["ALTER TABLE users RENAME TO people", "ALTER TABLE users RENAME COLUMN email TO mail"]
)
def test_an_object_that_no_migration_creates_is_an_internal_error(
    client: TestClient, database: Database, log: io.StringIO, statement: str
) -> None:
    with database.transaction() as db:
        db.run(text(statement))
    response = Person(client, "alice").sign_up()
    assert (response.status_code, response.json()["code"]) == (500, "INTERNAL_ERROR")
    line = next(line for line in lines(log, "requests") if line["event"] == "unhandled_error")
    *_, cause = line["exception"].splitlines()
    assert cause.startswith("api.storage.database.SchemaMismatch: ")
    assert cause.endswith(", or write the migration that creates it: make migration NAME=...")
