"""A missing trigger is found by each process and by the doctor, and `charter migrate` creates it again."""

import pytest
from sqlalchemy import inspect, text

from api.config import Config
from api.storage import triggers
from api.storage.change_feed import FeedGap, subscribe
from api.storage.database import Database
from tests.support.charter import Charter, beside
from tests.support.databases import on_postgresql
from tests.support.person import newcomer
from tests.support.workers import by_hand, worker


@pytest.fixture
def charter(config: Config) -> Charter:
    return beside(config)


def drop(config: Config, name: str, table: str) -> None:
    by_hand(config, f"DROP TRIGGER {name} ON {table}" if config.is_shared else f"DROP TRIGGER {name}")


def definitions(database: Database) -> list[str]:
    """Return the definitions of all triggers and their functions."""
    query = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": """
            SELECT pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
            UNION SELECT pg_get_functiondef(oid) FROM pg_proc WHERE prorettype = 'trigger'::regtype
            AND pg_function_is_visible(oid) AND pronamespace <> 'pg_catalog'::regnamespace
        """,
    }[database.engine.dialect.name]
    with database.engine.connect() as connection:
        # The texts of a migration and of `api/models` differ in their white space.
        return sorted(" ".join(definition.split()) for definition in connection.scalars(text(query)))


def drop_all(database: Database) -> None:
    """Drop all triggers, and their functions."""
    with database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "DROP FUNCTION keep_events, note_key, note_session, note_user, note_services, note_table CASCADE"
            )
        for name in connection.scalars(text(triggers.ACTIVE[connection.dialect.name])).all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")


def test_the_models_declare_the_triggers_of_the_migrations(database: Database) -> None:
    migrated = definitions(database)
    drop_all(database)
    assert definitions(database) == []
    with database.engine.begin() as connection:
        triggers.restore(connection)
    assert definitions(database) == migrated != []


def test_a_migrated_database_has_all_triggers(database: Database) -> None:
    with database.engine.connect() as connection:
        assert triggers.missing_in(connection) == []
    subscribe(database).connection.close()


@pytest.mark.parametrize(("name", "table"), [("users_update", "users"), ("sessions_delete", "sessions")])
def test_a_feed_without_a_trigger_is_not_opened(config: Config, database: Database, name: str, table: str) -> None:
    drop(config, name, table)
    with pytest.raises(FeedGap, match=f"lacks the triggers {name}; run charter migrate"):
        subscribe(database)


def test_revocations_arrive_although_a_trigger_is_missing(config: Config) -> None:
    drop(config, "users_update", "users")
    with worker(config) as client:
        alice = newcomer(client, "alice")
        assert alice.get("/protected").status_code == 200
        by_hand(config, "UPDATE users SET disabled_at = '2026-01-01'")
        assert alice.get("/protected").status_code == 401


def test_migrate_restores_missing_triggers_once(config: Config, charter: Charter, database: Database) -> None:
    before = definitions(database)
    drop(config, "users_update", "users")
    drop(config, "sessions_delete", "sessions")
    found = charter.run("doctor").stdout
    missing = "the database lacks the triggers sessions_delete, users_update; run charter migrate"
    assert f"wrong    revocation   {missing}, until then each request queries the database\n" in found
    first = charter.run("migrate", "--yes")
    restored = "Restored the triggers sessions_delete, users_update. Revocations may have been missed without them.\n"
    assert (first.returncode, first.stdout.startswith(restored)) == (0, True)
    assert "Restored" not in charter.run("migrate", "--yes").stdout
    assert definitions(database) == before
    assert "ok       revocation" in charter.run("doctor").stdout


@on_postgresql
@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE sessions DISABLE TRIGGER sessions_update", "DROP FUNCTION note_session CASCADE"],
)
def test_migrate_restores_disabled_triggers_and_functions(
    config: Config, charter: Charter, database: Database, statement: str
) -> None:
    before = definitions(database)
    by_hand(config, statement)
    with pytest.raises(FeedGap, match="sessions_update"):
        subscribe(database)
    assert charter.run("migrate", "--yes").returncode == 0
    assert definitions(database) == before
    subscribe(database).connection.close()


@on_postgresql
def test_a_trigger_of_another_schema_does_not_count(config: Config, database: Database) -> None:
    by_hand(config, "CREATE SCHEMA other")
    by_hand(config, "CREATE TABLE other.users (LIKE users INCLUDING ALL)")
    by_hand(config, "CREATE TRIGGER users_update AFTER UPDATE ON other.users EXECUTE FUNCTION note_table()")
    drop(config, "users_update", "users")
    with database.engine.connect() as connection:
        assert triggers.missing_in(connection) == ["users_update"]
    assert inspect(database.engine).has_table("users", schema="other")
