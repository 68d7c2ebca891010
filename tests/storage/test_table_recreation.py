"""A migration that recreates a table of SQLite keeps the rows that refer to it, and all triggers."""

from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.config import Config
from api.storage.database import Database
from api.storage.revisions import MigrationIncomplete
from tests.support.charter import until
from tests.support.databases import on_sqlite
from tests.support.migrations import migrate
from tests.support.person import Person, newcomer
from tests.support.workers import by_hand

pytestmark = on_sqlite


def recreate(table: str, *changes: str) -> list[str]:
    """Return the steps that recreate a table with these changes."""
    return [f"with op.batch_alter_table({table!r}, recreate='always') as batch:", *(f"    {each}" for each in changes)]


def triggers(database: Database) -> dict[str, str]:
    with database.engine.connect() as connection:
        return dict(connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all())


def counts(database: Database) -> dict[str, int]:
    with database.engine.connect() as connection:
        return {
            name: connection.scalar(text(f"SELECT count(*) FROM {name}"))  # noqa: S608 - a name of ours
            for name in models.METADATA.tables
        }


@pytest.mark.slow
@pytest.mark.parametrize("table", sorted(models.METADATA.tables))
def test_a_recreated_table_keeps_rows_triggers_and_constraints(
    alice: Person, database: Database, tmp_path: Path, table: str
) -> None:
    rows, before = counts(database), triggers(database)
    checks = inspect(database.engine).get_check_constraints(table)
    migrate(database.engine, tmp_path, *recreate(table, "pass"))
    assert counts(database) == rows
    assert rows["users"] == rows["sessions"] == 1
    assert triggers(database) == before
    assert sorted(map(str, inspect(database.engine).get_check_constraints(table))) == sorted(map(str, checks))
    assert alice.get("/api/v1/me").status_code == 200


def test_revocations_arrive_after_a_column_was_altered_and_renamed(
    config: Config, database: Database, tmp_path: Path
) -> None:
    migrate(
        database.engine,
        tmp_path,
        *recreate(
            "users",
            "batch.alter_column('password_hash', nullable=True)",
            "batch.add_column(sa.Column('a', sa.Integer))",
        ),
        *recreate("users", "batch.alter_column('a', new_column_name='b')"),
        *recreate("users", "batch.drop_column('b')"),
        *recreate("sessions", "batch.alter_column('user_agent', type_=sa.String(300))"),
    )
    with TestClient(create_app(config)) as client:
        alice = newcomer(client, "alice")
        assert alice.get("/api/v1/me").status_code == 200
        by_hand(config, "UPDATE users SET disabled_at = '2026-01-01'")
        until(lambda: alice.get("/api/v1/me").status_code == 401)


def test_a_trigger_that_the_migration_drops_stays_dropped(database: Database, tmp_path: Path) -> None:
    before = triggers(database)
    migrate(database.engine, tmp_path, "op.execute('DROP TRIGGER users_delete')", *recreate("users", "pass"))
    assert before.keys() - triggers(database).keys() == {"users_delete"}


def test_a_migration_that_leaves_rows_without_their_user_is_rolled_back(
    alice: Person, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(MigrationIncomplete, match="1 rows of known_places whose row in users is missing"):
        migrate(database.engine, tmp_path, "op.execute('DELETE FROM users')")
    assert counts(database)["users"] == 1
    assert alice.get("/api/v1/me").status_code == 200


def test_rows_that_lacked_their_user_before_do_not_stop_a_migration(
    alice: Person, database: Database, tmp_path: Path
) -> None:
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("DELETE FROM users")
        connection.commit()
        connection.invalidate()
    migrate(database.engine, tmp_path, *recreate("sessions", "pass"))
    assert counts(database)["sessions"] == 1


def test_connections_cascade_again_after_a_migration(alice: Person, database: Database, tmp_path: Path) -> None:
    migrate(database.engine, tmp_path, *recreate("users", "pass"))
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM users")
    assert counts(database)["sessions"] == 0
