"""No SQL statement reads a whole table that grows with the users, on either database.

The fixtures of both databases check every statement that the application sends during the test run. The tests here
cover the statements that the database itself executes, and show that the check detects a scan.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import URL, Engine
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from api import models
from api.config import Config
from api.services import roles, sessions, user_search
from api.services.session_limit import ExcessTrimmer
from api.storage import change_feed
from api.storage.database import Database
from api.storage.rate_limit_store import RateLimitStore, Take
from tests.conftest import COLLECTOR, large
from tests.support import own
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.person import Person
from tests.support.plans import (
    Sent,
    advice,
    check_postgresql,
    check_sqlite,
    foreign_key_statements,
    scans_on_sqlite,
    sequential_scans,
    trigger_statements,
)
from tests.support.roles import promote


@pytest.fixture
def sqlite(migrated_file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(migrated_file)) as connection:
        yield connection


@pytest.fixture(scope="module")
def large_postgres(postgres: URL) -> Iterator[Engine]:
    with large(postgres) as engine:
        yield engine


OPERATIONS = {
    "INSERT INTO users",
    "INSERT INTO sessions",
    "UPDATE sessions SET",
    "UPDATE users SET",
    "DELETE FROM sessions",
    "INSERT INTO rate_limits",
    "UPDATE rate_limits SET",
    "DELETE FROM rate_limits",
    "SELECT rate_limits.",
    "SELECT users.id, users.username_key AS name",
    "SELECT users.id, users.email_key AS name",
    "SELECT users.id, users.username, users.email, ",
    "SELECT outbox.id",
}
STATES = ("enabled", "disabled", "deleting")


LISTS = ("", "?search=al", "?search=alice@", "?role=user", "?role=admin", *(f"?state={state}" for state in STATES))


def work(alice: Person, config: Config, database: Database) -> None:
    """Send the statements of each operation."""
    promote(config, alice, "admin")
    for query in (*LISTS, *(f"?role=user&state={state}" for state in STATES), f"/{alice.id}"):
        assert alice.get(f"/api/v1/users{query}").status_code == 200
    for query in ("", "?state=dead"):
        assert alice.get(f"/api/v1/mails{query}").status_code == 200
    alice.refresh()
    alice.get("/api/v1/sessions")
    alice.get("/api/v1/me")
    alice.put("/api/v1/me/password", json={"current_password": alice.password, "new_password": "a new long passphrase"})
    alice.delete("/api/v1/sessions")
    with database.transaction() as db:
        sessions.delete_expired(db, 100)
        sessions.end_least_recently_used(db, UUID(alice.id), 100)
        ExcessTrimmer(100).step(db)
    alice.log_out()
    spend_budgets(database)


def spend_budgets(database: Database) -> None:
    """Send each statement of the rate limits."""
    store, take = RateLimitStore(database), Take(b"sixteen bytes...", 6, 60)
    for accepts_new in (True, False):
        store.take([take], 1, accepts_new=accepts_new)
    store.give_back([take], 1)
    store.find([take.key])
    store.purge(100, 1)
    store.clear([take.key])
    store.close()


@on_sqlite
def test_each_operation_is_collected_and_scans_nothing_on_sqlite(
    alice: Person, config: Config, database: Database
) -> None:
    work(alice, config, database)
    sent = COLLECTOR.sent["sqlite"]
    assert {start for start in OPERATIONS if any(statement.startswith(start) for statement in sent)} == OPERATIONS
    assert check_sqlite(str(config.database_url.database), sent) == []


@on_postgresql
def test_each_operation_scans_nothing_on_postgresql(
    alice: Person, config: Config, database: Database, large_postgres: Engine
) -> None:
    work(alice, config, database)
    sent = COLLECTOR.sent["postgresql"]
    assert {start for start in OPERATIONS if any(statement.startswith(start) for statement in sent)} == OPERATIONS
    assert check_postgresql(large_postgres, sent) == []


USED = """UPDATE sessions SET last_used_at = ? WHERE id = ?
    AND user_id IN (SELECT id FROM users WHERE disabled_at IS NULL)"""
PURGED = """DELETE FROM sessions WHERE id IN
    (SELECT id FROM sessions WHERE expires_at <= now() LIMIT 100 FOR UPDATE SKIP LOCKED)"""


def test_a_subquery_that_lists_all_users_is_found(migrated_file: Path) -> None:
    [found] = check_sqlite(str(migrated_file), {USED: Sent(USED, ())})
    assert found == f"SCAN users USING INDEX ix_users_enabled: {USED}"


PAGE = "SELECT id FROM sessions WHERE user_id = ? ORDER BY created_at DESC LIMIT 20"


def test_a_page_whose_order_has_no_index_is_found(migrated_file: Path) -> None:
    indexed = PAGE.replace("created_at", "id")
    sent = {statement: Sent(statement, ("",)) for statement in (PAGE, PAGE.removesuffix(" LIMIT 20"), indexed)}
    assert check_sqlite(str(migrated_file), sent) == [f"USE TEMP B-TREE FOR ORDER BY: {PAGE}"]


def test_a_listed_statement_may_read_a_whole_table(migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = "SELECT count(*) AS count_1 \nFROM sessions"
    found = check_sqlite(str(migrated_file), {count: Sent(count, ())})
    assert [step.partition(" USING")[0] for step in found] == ["SCAN sessions"]
    assert "tests/support/own.py" in advice(found)
    assert advice(found).endswith(count)
    monkeypatch.setattr(own, "STATEMENTS", {"count_1 FROM sessions": "only admins call it"})
    assert check_sqlite(str(migrated_file), {count: Sent(count, ())}) == []


def test_a_purge_without_an_order_is_found(large_postgres: Engine) -> None:
    assert f"sessions: {PURGED}" in check_postgresql(large_postgres, {PURGED: Sent(PURGED, {})})


def test_triggers_scan_nothing_on_sqlite(sqlite: sqlite3.Connection) -> None:
    found = trigger_statements(sqlite)
    assert any("FROM sessions WHERE user_id = ?" in statement for statement in found)
    assert [scan for statement in found for scan in scans_on_sqlite(sqlite, statement)] == []


def test_foreign_keys_scan_nothing_on_sqlite(sqlite: sqlite3.Connection) -> None:
    found = foreign_key_statements(sqlite)
    expected = {
        f"DELETE FROM {table.name} WHERE {key.parent.name} = ?"  # noqa: S608 - names of ours
        for table in models.METADATA.tables.values()
        for key in table.foreign_keys
    }
    assert set(found) == expected
    assert "DELETE FROM sessions WHERE user_id = ?" in expected
    assert [scan for statement in found for scan in scans_on_sqlite(sqlite, statement)] == []


def test_the_change_feed_scans_nothing_on_sqlite(sqlite: sqlite3.Connection) -> None:
    steps = [row[3] for row in sqlite.execute(f"EXPLAIN QUERY PLAN {change_feed._LOOK}", (0,))]
    assert any(step.startswith("SEARCH changes USING INTEGER PRIMARY KEY") for step in steps)


@pytest.mark.parametrize("state", ["deleting", "disabled", "enabled"])
@pytest.mark.parametrize("role", [None, roles.DEFAULT])
def test_a_list_of_users_in_a_state_skips_no_others_on_sqlite(
    sqlite: sqlite3.Connection, role: str | None, state: str
) -> None:
    statement = user_search._LISTS[role, state].compile(dialect=SQLiteDialect())
    wanted = [None] * len(statement.params)
    steps = [row[3] for row in sqlite.execute(f"EXPLAIN QUERY PLAN {statement}", wanted)]
    assert steps[0] == f"SEARCH users USING INDEX ix_users_{state} (id<?)"


# Clauses such as `RETURNING` do not matter here: triggers and foreign keys are the same with and without them.
NESTED = [
    "DELETE FROM users WHERE username_key = 'user1'",
    "UPDATE users SET email = 'new@example.com' WHERE username_key = 'user2'",
    "DELETE FROM sessions WHERE id = md5('s5')::uuid",
    """INSERT INTO sessions SELECT md5('new')::uuid, user_id, sha256('new'), created_at, last_used_at, expires_at,
        ip_address, user_agent, refresh_token, refreshes FROM sessions WHERE id = md5('s7')::uuid""",
    "UPDATE sessions SET expires_at = expires_at - interval '1 day' WHERE id = md5('s9')::uuid",
    "UPDATE api_keys SET last_used_at = now() WHERE id = md5('k5')::uuid",
    "DELETE FROM api_keys WHERE id = md5('k7')::uuid",
]


@pytest.mark.parametrize("statement", NESTED)
def test_triggers_and_foreign_keys_scan_nothing_on_postgresql(large_postgres: Engine, statement: str) -> None:
    assert sequential_scans(large_postgres, statement) == set()


def test_a_scan_inside_a_statement_is_counted_on_postgresql(large_postgres: Engine) -> None:
    assert sequential_scans(large_postgres, "SELECT count(*) FROM users WHERE username = 'user3'") == {"users"}
