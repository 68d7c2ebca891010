"""Rate limits fail closed: a full, missing or unusable table of budgets refuses requests, and recovers by itself."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit

import httpx
import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api.config import Config
from api.storage.database import Database
from api.storage.rate_limit_store import MICROSECONDS, RateLimitStore, Take
from tests.features.test_rate_limits import statuses, wrong
from tests.storage.test_database import locked
from tests.support.charter import beside, until
from tests.support.databases import administration, on_postgresql, on_sqlite
from tests.support.log_stream import lines
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Travel

Start = Callable[..., TestClient]

pytestmark = pytest.mark.usefixtures("still")

FEW = 1000


@pytest.fixture
def store(database: Database) -> Iterator[RateLimitStore]:
    """The table of budgets, for direct access."""
    store = RateLimitStore(database)
    yield store
    store.close()


def fill(store: RateLimitStore, seconds: int) -> list[bytes]:
    """Add more evenly distributed budgets than `FEW`, which are full again after some seconds. Return their keys."""
    keys = [(number << 112).to_bytes(16) for number in range(0, 1 << 16, 32)]
    window = seconds * MICROSECONDS
    store.take([Take(key, window, window) for key in keys], 0, accepts_new=True)
    return keys


@pytest.mark.slow
@pytest.mark.parametrize("background", ["on", "off"])
def test_a_full_table_refuses_new_budgets_only(
    limited: Start, config: Config, store: RateLimitStore, log: io.StringIO, background: str
) -> None:
    client = limited(limit_rows=FEW, background=background)
    assert wrong(client).status_code == 401
    keys = fill(store, 4_000_000_000)
    # The process notices at its next purge.
    until(lambda: lines(log, "rate_limits"))
    refused = wrong(client, "new_name")
    assert_problem(refused, 503, "TOO_BUSY")
    assert refused.headers["retry-after"] == "5"
    assert statuses(wrong(client) for _ in range(10)) == {401: 9, 429: 1}
    assert [line["event"] for line in lines(log, "rate_limits")] == ["rate_limits_full"]
    store.clear(keys)
    until(lambda: wrong(client, "new_name").status_code == 401)


@pytest.mark.slow
def test_purged_budgets_make_room_for_new_ones(limited: Start, store: RateLimitStore) -> None:
    client = limited(limit_rows=FEW)
    keys = fill(store, 1)
    until(lambda: not store.find(keys))
    until(lambda: wrong(client).status_code == 401)


@on_postgresql
def test_without_its_migration_limited_operations_report_it(limited: Start, database: Database) -> None:
    client = limited()
    alice = newcomer(client, "alice")
    with database.transaction() as db:
        db.run(text("DROP TABLE rate_limits"))
        db.run(text("UPDATE alembic_version SET version_num = '0005'"))
    for response in (wrong(client), replace(alice).log_in(), replace(alice).refresh()):
        assert_problem(response, 503, "MIGRATIONS_BEHIND")
    assert [alice.get(path).status_code for path in ("/api/v1/me", "/protected", "/ping")] == [200] * 3
    assert_problem(client.get("/ready"), 503, "MIGRATIONS_BEHIND")


MISSING_TABLE = ["ALTER TABLE rate_limits RENAME TO former_limits"]
MISSING_RIGHT = [
    """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'permission denied for table rate_limits' USING ERRCODE = '42501'; END $$""",
    "CREATE TRIGGER refuse BEFORE INSERT ON rate_limits FOR EACH ROW EXECUTE FUNCTION refuse()",
]


@on_postgresql
@pytest.mark.parametrize("statements", [MISSING_TABLE, MISSING_RIGHT], ids=["table", "right"])
def test_limited_operations_report_a_missing_table_or_right(
    limited: Start, database: Database, log: io.StringIO, statements: list[str]
) -> None:
    client = limited()
    with database.transaction() as db:
        for statement in statements:
            db.run(text(statement))
    assert_problem(wrong(client), 503, "DATABASE_UNAVAILABLE")
    assert client.get("/ping").status_code == 200
    [line] = [line for line in lines(log, "database") if line["event"] == "rate_limits_unusable"]
    assert "rate_limits" in line["cause"]


@on_sqlite
def test_on_sqlite_rate_limits_need_no_migration(limited: Start, database: Database) -> None:
    client = limited()
    newcomer(client, "alice")
    with database.transaction() as db:
        db.run(text("UPDATE alembic_version SET version_num = '0005'"))
    assert statuses(wrong(client) for _ in range(21)) == {401: 20, 429: 1}


@contextmanager
def _without_connections(config: Config) -> Iterator[None]:
    """Let PostgreSQL refuse and end all connections to the database."""
    name = config.database_url.database
    with administration(config.database_url).connect() as admin:
        admin.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        end = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
        admin.execute(end, {"name": name})
        yield
        admin.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))


@contextmanager
def _without_file(config: Config) -> Iterator[None]:
    """Replace the file of the budgets by a folder."""
    file = Path(f"{config.database_url.database}-limits")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{file}{suffix}").unlink()
    file.mkdir()
    yield
    file.rmdir()


def test_an_unreachable_table_refuses_limited_operations_until_it_is_back(limited: Start, config: Config) -> None:
    client = limited()
    alice = newcomer(client, "alice")
    unreachable = _without_connections if config.is_shared else _without_file
    with unreachable(config):
        for response in (wrong(client), replace(alice).log_in(), alice.refresh(), Person(client, "bobby").sign_up()):
            assert_problem(response, 503, "DATABASE_UNAVAILABLE")
            assert response.headers["retry-after"] == "5"
        assert client.get("/ping").status_code == 200
    assert alice.log_in().status_code == 200
    assert wrong(client).status_code == 401


@on_sqlite
def test_refusals_do_not_wait_for_the_database(limited: Start, config: Config) -> None:
    # A request that needs the write lock of the database waits until the end of the test.
    url = config.database_url.update_query_dict({"timeout": str(2 * PATIENCE_SECONDS)})
    client = limited("signUp.address=1/3600", database_url=url)
    alice = newcomer(client, "alice")
    assert statuses(wrong(client) for _ in range(20)) == {401: 20}
    with locked(config):
        assert_problem(wrong(client), 429, "RATE_LIMITED")
        assert_problem(alice.log_in(), 429, "RATE_LIMITED")
        assert_problem(Person(client, "bobby").sign_up(), 429, "RATE_LIMITED")


@pytest.mark.slow
@on_sqlite
def test_a_full_disk_refuses_limited_operations_until_it_has_room(config: Config) -> None:
    installed = beside(config)
    limited = replace(installed, settings=installed.settings | {"CHARTER_RATE_LIMITS": ""})
    with limited.serving() as server, httpx.Client(base_url=server.url) as client:
        alice = newcomer(client, "alice")
        # No file of the server can grow, which SQLite reports like a full disk.
        prlimit(server.process.pid, RLIMIT_FSIZE, (4096, RLIM_INFINITY))
        for response in (wrong(client), wrong(client), alice.log_in(), Person(client, "bobby").sign_up()):
            assert_problem(response, 503, "DATABASE_UNAVAILABLE")
        assert client.get("/ping").status_code == 200
        prlimit(server.process.pid, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))
        assert wrong(client).status_code == 401
        assert alice.log_in().status_code == 200


def test_a_clock_that_is_an_hour_off_refuses_nobody(limited: Start, travel: Travel) -> None:
    client = limited()
    alice = newcomer(client, "alice")
    assert statuses(wrong(client) for _ in range(21)) == {401: 20, 429: 1}
    travel(-timedelta(hours=1))
    assert alice.log_in().status_code == 200
    assert statuses(wrong(client) for _ in range(21)) == {401: 20, 429: 1}
    travel(timedelta(hours=1))
    assert alice.log_in().status_code == 200
    assert wrong(client).status_code == 401
