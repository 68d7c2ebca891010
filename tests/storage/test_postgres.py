"""A real PostgreSQL: its tables equal those of `api/models`, and many processes share one database."""

import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import httpx
import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import URL, Engine, create_engine, inspect, text
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.config import Config
from api.services import readiness
from api.storage import partial_index, rate_limit_store, revisions
from api.storage.database import Database, Db
from tests.support.charter import SECRETS, Charter, until
from tests.support.concurrency import at_once
from tests.support.databases import created, on_postgresql
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.workers import by_hand


@pytest.fixture
def engine(postgres: URL) -> Iterator[Engine]:
    """Yield an engine for a database without tables."""
    with created(postgres, "template0") as url:
        database = Database(url)
        yield database.engine
        database.dispose()


TABLES = {**models.METADATA.tables, **rate_limit_store.RATE_LIMIT_METADATA.tables}


def constraints(engine: Engine) -> dict[str, Any]:
    """Return the primary key and the CHECK constraints of each table by name, which Alembic does not compare."""
    inspector = inspect(engine)
    return {
        table: (inspector.get_pk_constraint(table), sorted(inspector.get_check_constraints(table), key=str))
        for table in TABLES
    }


def test_the_migrations_create_the_declared_tables(engine: Engine, postgres: URL) -> None:
    with pytest.raises(CommandError, match="not up to date"), revisions.migrating(engine) as alembic:
        command.check(alembic)
    revisions.upgrade(engine)
    with revisions.migrating(engine) as alembic:
        command.check(alembic)
    with created(postgres, "template0") as url:
        other = Database(url)
        partial_index.set_options(models.METADATA)
        for metadata in (models.METADATA, rate_limit_store.RATE_LIMIT_METADATA):
            metadata.create_all(other.engine)
        assert constraints(engine) == constraints(other.engine)
        other.dispose()


def test_the_migrations_go_down_and_up_again(engine: Engine) -> None:
    revisions.upgrade(engine)
    with revisions.migrating(engine) as alembic:
        command.downgrade(alembic, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    revisions.upgrade(engine)
    assert set(inspect(engine).get_table_names()) == {"alembic_version", *TABLES}


def test_budgets_are_not_written_to_the_log_of_the_database(engine: Engine) -> None:
    revisions.upgrade(engine)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT relpersistence, reloptions FROM pg_class WHERE relname = 'rate_limits'")
        )
        assert found.one() == ("u", ["fillfactor=50"])


@on_postgresql
def test_connections_to_a_former_primary_are_replaced(config: Config, postgres: URL) -> None:
    admin = create_engine(postgres.set(database="postgres"), isolation_level="AUTOCOMMIT")
    name = config.database_url.database
    with admin.connect() as connection, TestClient(create_app(config)) as client:
        # A new session of a standby is read-only, and stays so.
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        alice = Person(client, "alice")
        assert_problem(alice.sign_up(), 503, "DATABASE_UNAVAILABLE")
        connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
        assert alice.sign_up().status_code == 201
    admin.dispose()


def test_a_name_in_use_is_an_error_on_postgresql_too(config: Config, postgres_url: URL) -> None:
    with TestClient(create_app(replace(config, database_url=postgres_url))) as client:
        alice = newcomer(client, "alice")
        assert_problem(alice.sign_up(), 409, "USERNAME_TAKEN")
        taken = alice.form | {"username": "email_key"}
        response = client.post("/api/v1/auth/signup", json=taken)
        assert_problem(response, 409, "EMAIL_TAKEN")


def test_an_unreachable_host_times_out_after_5_seconds_or_as_the_url_sets(postgres_url: URL) -> None:
    def settings(**instead: str) -> dict[str, str]:
        query = {"host": str(postgres_url.query["host"])} | instead
        database = Database(postgres_url.set(query=query))
        with database.engine.connect() as connection:
            found: Any = connection.connection.driver_connection
            parameters: dict[str, str] = found.info.get_parameters()
        database.dispose()
        return {name: parameters[name] for name in ("connect_timeout", "keepalives_idle", "tcp_user_timeout")}

    patient = {"connect_timeout": "2", "keepalives_idle": "1", "tcp_user_timeout": "2500"}
    assert settings() == patient
    assert settings(tcp_user_timeout="60000") == patient | {"tcp_user_timeout": "60000"}


@on_postgresql
def test_a_row_lock_that_is_not_released_is_503(config: Config, database: Database) -> None:
    impatient = config.database_url.update_query_dict({"options": "-c lock_timeout=100ms"})
    with TestClient(create_app(replace(config, database_url=impatient))) as client:
        alice, bobby = newcomer(client, "alice"), newcomer(client, "bobby")
        with database.transaction() as db:
            db.run(text("SELECT FROM users WHERE username = 'alice' FOR UPDATE"))
            response = alice.log_in()
            assert bobby.log_in().status_code == 200
        assert_problem(response, 503, "DATABASE_UNAVAILABLE")
        assert alice.log_in().status_code == 200


def test_the_url_sets_the_lock_timeout_and_migrations_have_none(postgres_url: URL) -> None:
    database = Database(postgres_url.update_query_dict({"options": "-c lock_timeout=1min"}))
    with database.transaction() as db:
        assert db.run(text("SHOW lock_timeout")).scalar() == "1min"
    with revisions.migrating(database.engine) as alembic:
        for name in ("lock_timeout", "statement_timeout"):
            assert alembic.attributes["connection"].scalar(text(f"SHOW {name}")) == "0"
    database.dispose()


Asking = Callable[[Callable[[Db], object]], httpx.Response]


@pytest.fixture
def asking(client: TestClient, alice: Person, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Replace the service of an operation by this function, call the operation, and return its response."""

    def ask(act: Callable[[Db], object]) -> httpx.Response:
        monkeypatch.setattr(readiness, "check", lambda db, _: act(db))
        response: httpx.Response = client.get("/ready")
        return response

    return ask


@on_postgresql
@pytest.mark.parametrize(("clashes", "tries", "status"), [(0, 1, 200), (1, 2, 200), (2, 3, 200), (3, 3, 503)])
def test_a_transaction_with_a_conflict_is_retried(
    asking: Asking, config: Config, database: Database, clashes: int, tries: int, status: int
) -> None:
    tried = []

    def act(db: Db) -> None:
        tried.append(db)
        db.run(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        db.run(text("SELECT FROM users"))
        if len(tried) <= clashes:
            by_hand(config, "UPDATE users SET username = 'carol'")
        db.run(text("UPDATE users SET email = email || 'x'"))

    response = asking(act)
    assert (len(tried), response.status_code) == (tries, status)
    assert response.headers.get("retry-after") == (None if status == 200 else "5")
    with database.transaction() as db:
        # The handler ran again, but its effect was committed once.
        assert db.run(text("SELECT email FROM users")).scalar() == "alice@example.com" + "x" * (status == 200)


def idle(db: Db) -> None:
    db.run(text("SET LOCAL idle_in_transaction_session_timeout = '100ms'"))
    mine = db.run(text("SELECT pg_backend_pid()")).scalar()
    other = create_engine(db.connection().engine.url)

    def is_ended() -> bool:
        with other.connect() as connection:
            found = connection.execute(text("SELECT FROM pg_stat_activity WHERE pid = :pid"), {"pid": mine})
            return not found.all()

    until(is_ended)
    other.dispose()
    db.run(text("SELECT"))


def last_too_long(db: Db) -> None:
    db.run(text("SET LOCAL statement_timeout = '100ms'"))
    db.run(text("SELECT pg_sleep(20)"))


def meet_a_standby(db: Db) -> None:
    db.run(text("SET LOCAL transaction_read_only = on"))
    db.run(text("DELETE FROM users"))


def be_ended(db: Db) -> None:
    db.run(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def find_the_disk_full(db: Db) -> None:
    db.run(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$"))


@on_postgresql
@pytest.mark.parametrize("act", [idle, last_too_long, meet_a_standby, be_ended, find_the_disk_full])
def test_a_hanging_database_is_503_and_the_next_request_succeeds(asking: Asking, act: Callable[[Db], None]) -> None:
    response = asking(act)
    assert_problem(response, 503, "DATABASE_UNAVAILABLE")
    assert response.headers["retry-after"] == "5"
    assert asking(lambda db: db.run(text("SELECT"))).status_code == 200


@on_postgresql
def test_timeouts_in_the_url_are_kept(config: Config) -> None:
    url = config.database_url.update_query_dict({"options": "-c statement_timeout=1min"})
    database = Database(url)
    with database.transaction() as db:
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        assert [db.run(text(f"SHOW {name}")).scalar() for name in names] == ["5s", "1min", "15s"]
    database.dispose()


@on_postgresql
def test_no_write_waits_for_a_sequence(alice: Person, database: Database) -> None:
    assert [response.status_code for response in (alice.refresh(), alice.log_out())] == [200, 204]
    with database.transaction() as db:
        used = db.run(text("SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL")).scalars()
        assert used.all() == []


def installed(url: URL, folder: Path) -> Charter:
    """Return an installation on a database that other hosts may use."""
    settings = {"DATABASE_URL": url.render_as_string(hide_password=False)}
    return Charter(folder, settings | SECRETS)


def test_migrating_a_shared_database_asks_for_confirmation(engine: Engine, tmp_path: Path) -> None:
    charter = installed(engine.url, tmp_path)
    state = f"{engine.url} is at revision none; this release requires {revisions.head()}"
    result = charter.run("migrate")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"Error: {state}; run charter migrate --yes to migrate it without a prompt\n"
    assert answer_prompt(charter, "n").endswith(f"{state}. Migrate it? [y/N]: Aborted!\n")
    assert not inspect(engine).get_table_names()
    done = f"The database is at revision {revisions.head()}.\n"
    assert answer_prompt(charter, "y").endswith(f"{state}. Migrate it? [y/N]: {done}")
    # The database is up to date now, so no prompt appears.
    assert charter.run("migrate").stdout == done


def answer_prompt(charter: Charter, answer: str) -> str:
    """Return the terminal output of `charter migrate` for this reply to its prompt."""
    ours, theirs = pty.openpty()
    command = [str(charter.command), "migrate"]
    environment = charter.environment
    with subprocess.Popen(command, cwd=charter.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        output = b""
        with suppress(OSError):
            while more := os.read(ours, 4096):
                output += more
    os.close(ours)
    return output.decode().replace("\r\n", "\n")


def test_two_simultaneous_migrations_both_succeed(engine: Engine, tmp_path: Path) -> None:
    charter = installed(engine.url, tmp_path)
    results = at_once(*[lambda: charter.run("migrate", "--yes")] * 2)
    done = f"The database is at revision {revisions.head()}.\n"
    assert [(result.returncode, result.stdout, result.stderr) for result in results] == [(0, done, "")] * 2


def test_two_processes_serve_one_database_without_a_data_folder(engine: Engine, tmp_path: Path) -> None:
    charter = installed(engine.url, tmp_path)
    with charter.serving() as early, httpx.Client(base_url=early.url) as client:
        assert [client.get(path).status_code for path in ("/ping", "/ready")] == [200, 503]
    assert charter.run("migrate", "--yes").stdout == f"The database is at revision {revisions.head()}.\n"
    with (
        charter.serving() as one,
        charter.serving() as two,
        httpx.Client(base_url=one.url) as here,
        httpx.Client(base_url=two.url) as there,
    ):
        assert [client.get("/ready").status_code for client in (here, there)] == [200, 200]
        alice = newcomer(here, "alice")
        alice.client = there
        assert alice.get("/api/v1/me").json()["username"] == "alice"
        assert alice.log_in().status_code == 200
        alice.client = here
        assert alice.log_out().status_code == 204
        alice.client = there
        # A change reaches other processes within 100 ms.
        sleep(0.1)
        assert alice.get("/api/v1/me").status_code == 401
    assert not charter.data.exists()
