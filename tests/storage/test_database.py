"""The database: times, transactions, SQLite under many writers, and outages."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit
from time import perf_counter
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import bindparam, delete, func, insert, select, text, update
from sqlalchemy.exc import DataError, IntegrityError, StatementError
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.config import Config
from api.crypto.refresh_tokens import RefreshTokenFactory
from api.errors import DatabaseUnavailable, UsernameTaken
from api.storage.change_feed import subscribe
from api.storage.database import Database, Db, new_id
from tests.support.bound_parameters import UNKNOWN
from tests.support.charter import beside, until
from tests.support.databases import on_sqlite
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person, newcomer
from tests.support.rows import count
from tests.support.workers import statements

UNAVAILABLE = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "The database cannot be used now. Try again after the number of seconds in Retry-After.",
    "code": "DATABASE_UNAVAILABLE",
}

BEHIND = UNAVAILABLE | {
    "detail": "The database is at another revision. Run charter migrate of the newest release and start it.",
    "code": "MIGRATIONS_BEHIND",
}


def key(created_at: datetime | None = None) -> dict[str, Any]:
    return {"id": uuid4().hex[:16], "algorithm": "ES256", "sealed": b"", "created_at": created_at or datetime.now(UTC)}


def add_key(db: Db) -> None:
    db.run(insert(models.signing_keys), key())


@pytest.mark.parametrize("hours", [-11, 0, 2, 5.5])
def test_a_time_of_any_zone_is_returned_in_utc(database: Database, hours: float) -> None:
    noon = datetime(2026, 7, 1, 12, 0, 0, 123456, UTC)
    with database.transaction() as db:
        db.run(insert(models.signing_keys), key(noon.astimezone(timezone(timedelta(hours=hours)))))
    with database.transaction() as db:
        found = db.run(select(models.signing_keys.c.created_at)).scalar_one()
        assert (found, found.tzinfo) == (noon, UTC)
        kept = {"sqlite": "2026-07-01 12:00:00.123456", "postgresql": noon}[database.engine.dialect.name]
        assert db.run(text("SELECT created_at FROM signing_keys")).scalar_one() == kept
        earlier, later = (datetime(2026, 7, 1, hour, tzinfo=timezone(timedelta(hours=2))) for hour in (13, 15))
        assert db.run(select(models.signing_keys.c.created_at < earlier)).scalar() is False
        assert db.run(select(models.signing_keys.c.created_at < later)).scalar() is True


def test_a_time_without_a_zone_is_rejected(database: Database) -> None:
    naive = datetime(2026, 7, 1)
    with database.transaction() as db:
        for statement in (
            insert(models.signing_keys).values(id="0", algorithm="ES256", sealed=b"", created_at=naive),
            select(models.signing_keys).where(models.signing_keys.c.created_at < naive),
        ):
            with pytest.raises(StatementError, match="a time must have a time zone"):
                db.run(statement)
    assert count(database, models.signing_keys) == 0


def test_a_statement_with_an_unknown_parameter_fails_the_tests(database: Database) -> None:
    codes = models.codes
    of_code = codes.c.id == bindparam("of_code")
    with database.transaction() as db:
        for statement, known in (
            (insert(codes), "id"),
            (select(codes).where(of_code), "of_code"),
            (update(codes).where(of_code).values(purpose="x"), "of_code"),
        ):
            with pytest.raises(AssertionError, match=r"unknown parameters \['emial'\]"):
                db.run(statement, {known: new_id(), "emial": "a@example.com"})
            assert "emial" in UNKNOWN.pop()


def test_leaving_a_transaction_commits_and_raising_rolls_back(database: Database) -> None:
    def write(error: Exception | None = None) -> None:
        with database.transaction() as db:
            add_key(db)
            if error:
                raise error

    write()
    for error in (LookupError(), UsernameTaken()):
        with pytest.raises(type(error)):
            write(error)
    assert count(database, models.signing_keys) == 1


def test_a_statement_run_alone_outlives_the_transaction(database: Database) -> None:
    with database.transaction() as db:
        add_key(db)
    left = []
    database.on_write(lambda: left.append(count(database, models.signing_keys)))

    def delete_and_fail() -> None:
        with database.transaction() as db:
            assert db.run_alone(delete(models.signing_keys), {}) == 1
            assert database.in_use() == 0
            raise LookupError

    with pytest.raises(LookupError):
        delete_and_fail()
    assert left == [0]


@on_sqlite
def test_every_connection_to_sqlite_is_configured(database: Database) -> None:
    with database.engine.connect() as one, database.engine.connect() as two:
        for connection in (one, two):
            pragmas = ("journal_mode", "foreign_keys", "busy_timeout", "cache_size")
            values = [connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() for pragma in pragmas]
            assert values == ["wal", 1, 8000, -256]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"username": "abcd"}, "ck_users_username_length"),
        ({"username": "a" * 81}, r"ck_users_username_length|character varying\(80\)"),
        ({"email": "ab"}, "ck_users_email_length"),
        ({"email": "a" * 255}, r"ck_users_email_length|character varying\(254\)"),
        ({"username_key": "alice"}, r"users\.username_key|uq_users_username_key"),
        ({"email_key": "alice@example.com"}, r"users\.email_key|uq_users_email_key"),
        ({"username": None}, r'users\.username|"username"'),
        ({"password_hash": None}, r'users\.password_hash|"password_hash"'),
    ],
)
def test_the_database_itself_rejects_rows_that_break_its_rules(
    alice: Person, database: Database, change: dict[str, Any], rule: str
) -> None:
    names = {"username": "bobby", "username_key": "bobby", "email": "b@example.com", "email_key": "b@example.com"}
    bobby = names | {"id": new_id(), "created_at": datetime.now(UTC), "password_hash": "x"}
    # On PostgreSQL a text that is too long is not a constraint violation, but an invalid value of its type.
    with pytest.raises((IntegrityError, DataError), match=rule), database.transaction() as db:
        db.run(insert(models.users), bobby | change)
    assert count(database, models.users) == 1


def write_after_reading(database: Database) -> None:
    """Let eight threads read and write in turn, in 50 transactions each, and check that no write is lost."""
    writers, rounds = 8, 50

    def work(_: int) -> None:
        for _ in range(rounds):
            with database.transaction() as db:
                db.run(select(func.count()).select_from(models.signing_keys)).one()
                add_key(db)
                db.run(select(func.count()).select_from(models.signing_keys)).one()
                add_key(db)

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(work, range(writers)))
    assert count(database, models.signing_keys) == 2 * writers * rounds


@pytest.mark.slow
def test_reading_before_writing_never_meets_a_locked_database(config: Config) -> None:
    # SQLite does not queue, so a writer may wait for all others. A deadlock would still be reported at once.
    patient = {} if config.is_shared else {"timeout": str(PATIENCE_SECONDS)}
    database = Database(config.database_url.update_query_dict(patient))
    write_after_reading(database)
    database.dispose()


class TestBesideAWriter:
    """A foreign transaction holds the write lock, and writes wait for it until the end of the test."""

    @pytest.fixture
    def config(self, sqlite_config: Config) -> Config:
        endless = str(2 * PATIENCE_SECONDS)
        return replace(sqlite_config, database_url=sqlite_config.database_url.update_query_dict({"timeout": endless}))

    def test_readers_do_not_wait_for_a_writer(self, client: TestClient, alice: Person, config: Config) -> None:
        with locked(config):
            began = perf_counter()
            paths = ("/protected", "/api/v1/me", "/api/v1/sessions", "/.well-known/jwks.json", "/ready")
            assert [alice.get(path).status_code for path in paths] == [200] * 5
            assert perf_counter() - began < PATIENCE_SECONDS

    @pytest.mark.slow
    def test_many_waiting_writers_do_not_block_readers(self, server: str, config: Config) -> None:
        with httpx.Client(base_url=server) as client, ThreadPoolExecutor(50) as crowd:
            alice = newcomer(client, "alice")
            sessions = [alice.token] + [alice.log_in().json()["access_token"] for _ in range(50)]
            leaving = [replace(alice, token=token) for token in sessions[:-1]]
            with locked(config), statements() as sent:
                going = [crowd.submit(person.log_out) for person in leaving]
                # As many writers wait as there are threads for blocked writes.
                until(lambda: sum(statement.startswith("DELETE") for statement in sent) == 8)
                assert [alice.get(path).status_code for path in ("/api/v1/sessions", "/ready")] == [200, 200]
                assert not any(one.done() for one in going)
            assert {one.result().status_code for one in going} == {204}

    def test_an_invalid_refresh_token_does_not_wait_for_a_writer(self, client: TestClient, config: Config) -> None:
        guesses = [RefreshTokenFactory(secret).new() for secret in (config.secret, bytes(32))] + ["A"]
        with locked(config):
            began = perf_counter()
            responses = [client.post("/api/v1/auth/refresh", json={"refresh_token": guess}) for guess in guesses]
            assert [response.json()["code"] for response in responses] == ["INVALID_REFRESH_TOKEN"] * 3
            assert perf_counter() - began < PATIENCE_SECONDS


@on_sqlite
def test_a_lock_that_a_foreign_process_holds_too_long_is_503(config: Config, database: Database) -> None:
    impatient = config.database_url.update_query_dict({"timeout": "0.1"})
    with closing(Database(impatient).engine.connect()) as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 100
    with TestClient(create_app(replace(config, database_url=impatient))) as client:
        alice, bobby = newcomer(client, "alice"), Person(client, "bobby")
        with locked(config):
            responses = [bobby.sign_up(), alice.log_out()]
            assert alice.get("/protected").status_code == 200
        assert [(response.status_code, response.headers["retry-after"]) for response in responses] == [(503, "5")] * 2
        assert [response.json() for response in responses] == [UNAVAILABLE] * 2
        assert [bobby.sign_up().status_code, alice.log_out().status_code] == [201, 204]


@on_sqlite
@pytest.mark.parametrize("rows", [1, 2])
def test_a_thread_of_this_process_that_writes_too_long_is_503(config: Config, rows: int) -> None:
    database = Database(config.database_url.update_query_dict({"timeout": "0.1"}))
    with database.transaction() as first:
        first.run(insert(models.signing_keys), [key() for _ in range(rows)])
        with pytest.raises(DatabaseUnavailable), database.transaction() as second:
            second.run(insert(models.signing_keys), [key() for _ in range(rows)])
    with database.transaction() as third:
        third.run(insert(models.signing_keys), [key() for _ in range(rows)])
    assert count(database, models.signing_keys) == 2 * rows
    database.dispose()


@pytest.mark.slow
@on_sqlite
def test_a_full_disk_fails_writes_and_nothing_else(config: Config) -> None:
    with beside(config).serving() as server, httpx.Client(base_url=server.url) as client:
        alice, bobby = newcomer(client, "alice"), Person(client, "bobby")
        # No file of the server can grow, which SQLite reports like a full disk.
        prlimit(server.process.pid, RLIMIT_FSIZE, (4096, RLIM_INFINITY))
        for response in (bobby.sign_up(), Person(client, "alice").log_in(), replace(alice).refresh()):
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert response.json() == UNAVAILABLE
        assert [alice.get(path).status_code for path in ("/protected", "/api/v1/me", "/api/v1/sessions")] == [200] * 3
        prlimit(server.process.pid, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))
        assert [bobby.sign_up().status_code, alice.log_in().status_code] == [201, 200]


@contextmanager
def locked(config: Config) -> Iterator[None]:
    """Keep a foreign write transaction open."""
    with closing(sqlite3.connect(file(config), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield


def file(config: Config) -> Path:
    return Path(str(config.database_url.database))


def _remove(path: Path) -> None:
    path.unlink()


def _remove_folder(path: Path) -> None:
    path.unlink()
    path.parent.rename(path.parent.with_suffix(".gone"))


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _overwrite(path: Path) -> None:
    path.write_bytes(b"This is not a database. " * 1000)


def _damage(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(100)
        stream.write(b"\xff" * 20_000)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@on_sqlite
@pytest.mark.parametrize("damage", [_remove, _remove_folder, _make_folder, _overwrite, _damage, _empty])
def test_authentication_fails_closed_without_the_database(config: Config, damage: Callable[[Path], None]) -> None:
    with TestClient(create_app(config)) as client:
        alice = newcomer(client, "alice")
    damage(file(config))
    with TestClient(create_app(config)) as client:
        alice.client = client
        responses = [alice.get("/protected"), alice.get("/api/v1/me"), alice.log_out(), alice.sign_up()]
        assert [(response.status_code, response.headers.get("retry-after")) for response in responses] == [
            (503, "5")
        ] * 4
        # A missing or empty file is a database before its first migration.
        expected = BEHIND if damage in {_remove, _empty} else UNAVAILABLE
        assert [response.json() for response in responses] == [expected] * 4
        assert client.get("/ready").status_code == 503
        assert client.get("/protected").status_code == 401
        assert client.get("/protected", headers={"Authorization": "Bearer x.y.z"}).status_code == 401
        assert client.get("/ping").json() == {"status": "running"}


def test_a_pool_without_a_free_connection_is_503(database: Database) -> None:
    database.engine.pool._timeout = 0.1  # type: ignore[attr-defined]
    taken = [database.engine.connect() for _ in range(40)]
    with pytest.raises(DatabaseUnavailable), database.transaction() as db:
        db.run(select(1))
    for connection in taken:
        connection.close()
    assert count(database, models.signing_keys) == 0


def test_20_log_outs_at_once_end_one_session_once(server: str, database: Database) -> None:
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
    following = subscribe(database)
    start = threading.Barrier(20)

    def log_out(_: int) -> int:
        with httpx.Client(base_url=server) as client:
            start.wait(timeout=PATIENCE_SECONDS)
            return client.post("/api/v1/auth/logout", headers=alice.headers).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(log_out, range(20)))
    assert statuses == [204] + [401] * 19
    assert [change.topic for change in following.feed.read()].count("sessions") == 1
    following.connection.close()


def test_later_ids_sort_later() -> None:
    ids = [new_id() for _ in range(1000)]
    assert sorted(ids) == ids
    assert len(set(ids)) == 1000
    assert {id_.version for id_ in ids} == {7}


def test_a_handle_cannot_be_used_after_its_transaction(database: Database) -> None:
    with database.transaction() as db:
        assert db.run(text("SELECT 1")).scalar() == 1
    with pytest.raises(RuntimeError, match="the transaction has ended"):
        db.run(text("SELECT 1")).scalar()
    assert database.in_use() == 0
