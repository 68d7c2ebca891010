"""Behind a pooler in transaction mode, Charter works, and leaves nothing behind on the connections that it shares."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from alembic import command
from sqlalchemy import URL, text

from api.config import Config
from api.storage import revisions
from api.storage.database import Database
from tests.support.charter import beside
from tests.support.databases import created, on_postgresql
from tests.support.mail_server import MailServer
from tests.support.person import newcomer
from tests.support.pooler import pooled
from tests.support.workers import at, by_hand, worker

# psycopg prepares a statement at its sixth execution.
TIMES = 8


@pytest.fixture
def behind(config: Config) -> Iterator[Config]:
    """Yield the settings of an application whose database is behind a pooler."""
    with pooled(config.database_url) as pooler:
        yield replace(config, database_url=pooler.url)


@on_postgresql
def test_every_operation_works_and_a_log_out_ends_the_session_at_once(behind: Config) -> None:
    with worker(behind) as here, worker(behind) as there:
        alice = newcomer(here, "alice")
        for _ in range(TIMES):
            responses = [alice.refresh(), alice.get("/api/v1/me"), alice.get("/api/v1/sessions"), here.get("/ready")]
            assert [response.status_code for response in responses] == [200] * 4
            assert at(there, alice).get("/protected").status_code == 200
            assert alice.log_out().status_code == 204
            assert [at(client, alice).get("/protected").status_code for client in (here, there)] == [401, 401]
            assert alice.log_in().status_code == 200
        new = {"current_password": alice.password, "new_password": "a new long passphrase"}
        assert alice.put("/api/v1/me/password", json=new).status_code == 204
        assert alice.delete("/api/v1/sessions").status_code == 204


@on_postgresql
def test_no_statement_or_setting_stays_on_a_shared_connection(behind: Config) -> None:
    database = Database(behind.database_url)
    with worker(behind) as client:
        alice = newcomer(client, "alice")
        for _ in range(TIMES):
            alice.refresh()
            alice.log_in()
    state = text("""
        SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements) || ' ' ||
            (SELECT count(*) FROM pg_settings WHERE source = 'session' AND name LIKE '%timeout')
    """)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        found = dict(tuple(connection.execute(state).one()) for _ in range(4))
    database.dispose()
    assert list(found.values()) == ["0 0"] * 2


@on_postgresql
def test_each_transaction_limits_its_waits_unless_the_database_does(config: Config, behind: Config) -> None:
    by_hand(config, f"ALTER DATABASE {config.database_url.database} SET statement_timeout = '1min'")
    database = Database(behind.database_url)
    for _ in range(3):
        with database.transaction() as db:
            names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
            assert [db.run(text(f"SHOW {name}")).scalar() for name in names] == ["5s", "1min", "15s"]
    database.dispose()


def test_migrations_run_one_at_a_time(postgres: URL) -> None:
    with created(postgres, "template0") as url, pooled(url, 4) as pooler:
        one, other = Database(pooler.url), Database(pooler.url)
        with ThreadPoolExecutor(1) as thread:
            with revisions.migrating(one.engine) as alembic:
                waiting = thread.submit(revisions.upgrade, other.engine)
                command.upgrade(alembic, "head")
                assert not waiting.done()
            assert waiting.result() == []
        assert revisions.current(other.engine) == revisions.head()
        for database in (one, other):
            database.dispose()


@on_postgresql
def test_the_doctor_reports_the_pooler(behind: Config, mail_host: MailServer) -> None:
    result = beside(behind, mail_host.port).run("doctor")
    lines = {line[9:22].strip(): (line[:9].strip(), line[22:]) for line in result.stdout.splitlines()}
    reason = "LISTEN does not work through the connection pooler in front of PostgreSQL"
    assert lines["revocation"] == ("warning", f"{reason}; each request queries the database instead")
    verdict, told = lines["connections"]
    assert (verdict, told.partition(" connections")[2]) == (
        "ok",
        " of each process to the pooler, which has limits of its own",
    )
    assert result.returncode == 0


@on_postgresql
def test_a_direct_connection_prepares_statements(config: Config) -> None:
    database = Database(config.database_url)
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        assert driver.prepare_threshold is not None
    database.dispose()
