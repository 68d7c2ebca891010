"""Migrations: up, down and up again, atomic, one at a time, and equal to the tables of `api/models`."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Engine, Uuid, column, insert, inspect, select, table, text, update
from starlette.testclient import TestClient

from api import clock, models
from api.app import create_app
from api.config import Config
from api.config.paths import resource_dir
from api.crypto.refresh_tokens import digest
from api.errors import DatabaseUnavailable
from api.storage import revisions, triggers
from api.storage.database import Database, UtcDateTime
from tests.support.migrations import upgrade_with
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import PASSWORD, newcomer


@pytest.fixture
def url(tmp_path: Path) -> URL:
    return URL.create("sqlite", database=str(tmp_path / "new.db"), query={"timeout": "0.1"})


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    """Yield an engine for an empty database."""
    database = Database(url)
    yield database.engine
    database.dispose()


# The tables of a database at the newest revision.
TABLES = sorted(["alembic_version", *models.METADATA.tables])


def tables(engine: Engine) -> list[str]:
    return inspect(engine).get_table_names()


def definitions(engine: Engine) -> list[str]:
    """Return the SQL of each table, index and trigger of SQLite, except for Alembic's and SQLite's own."""
    query = text(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL "
        "AND name NOT LIKE 'alembic%' AND name NOT LIKE 'sqlite%' ORDER BY name"
    )
    with engine.connect() as connection:
        return [" ".join(sql.replace("\t", " ").split()) for sql in connection.scalars(query)]


def test_an_empty_database_migrates_up_down_and_up_again(engine: Engine) -> None:
    revisions.upgrade(engine)
    first = definitions(engine)
    assert tables(engine) == TABLES
    with revisions.migrating(engine) as alembic:
        command.downgrade(alembic, "base")
    assert tables(engine) == ["alembic_version"]
    assert definitions(engine) == []
    revisions.upgrade(engine)
    assert definitions(engine) == first


UNCHANGED = {"postgresql": {"0005"}, "sqlite": {"0005", "0006"}}
"""The revisions that change no definition of a database: 0005 only changes data, and 0006 is for PostgreSQL."""


def test_each_downgrade_undoes_its_upgrade(engine: Engine) -> None:
    with revisions.migrating(engine) as alembic:
        steps = [step.revision for step in ScriptDirectory.from_config(alembic).walk_revisions()][::-1]
    assert steps[-1] == revisions.head()
    for revision in steps:
        before = definitions(engine)
        _run(engine, command.upgrade, revision)
        after = definitions(engine)
        _run(engine, command.downgrade, "-1")
        assert definitions(engine) == before
        assert (revision in UNCHANGED[engine.dialect.name]) is (before == after)
        _run(engine, command.upgrade, revision)
        assert definitions(engine) == after


def _run(engine: Engine, step: Callable[[AlembicConfig, str], None], revision: str) -> None:
    with revisions.migrating(engine) as alembic:
        step(alembic, revision)


def test_an_up_to_date_database_is_not_changed(engine: Engine) -> None:
    revisions.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO users (id, username, username_key, email, email_key, password_hash, created_at) "
                "VALUES ('00', 'alice', 'alice', 'a@b', 'a@b', '', '2026-01-01')"
            )
        )
    revisions.upgrade(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM users")) == 1


def test_the_migrations_create_the_declared_tables(engine: Engine, tmp_path: Path) -> None:
    revisions.upgrade(engine)
    with revisions.migrating(engine) as alembic:
        command.check(alembic)
    # Alembic compares neither CHECK constraints nor the names of constraints.
    other = Database(URL.create("sqlite", database=str(tmp_path / "declared.db")))
    with other.engine.begin() as connection:
        models.METADATA.create_all(connection)
        triggers.restore(connection)
    assert sorted(_parts(definitions(engine))) == sorted(_parts(definitions(other.engine)))
    other.dispose()


def _parts(definitions: list[str]) -> list[str]:
    """Return columns and constraints, in any order."""
    return [part.strip(" ()") for definition in definitions for part in definition.split(", ")]


def test_a_model_without_a_migration_is_detected(engine: Engine) -> None:
    revisions.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE users ADD COLUMN nickname TEXT"))
    with revisions.migrating(engine) as alembic, pytest.raises(CommandError, match="nickname"):
        command.check(alembic)


FAILING = '''
"""A table, a row, a second table, and then a fault."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
    op.execute(
        "INSERT INTO users (id, username, username_key, email, email_key, password_hash, created_at) "
        "VALUES ('00', 'alice', 'alice', 'a@b', 'a@b', '', '2026-01-01')"
    )
    op.add_column("users", sa.Column("half", sa.Integer))
    {fault}


def downgrade() -> None:
    op.drop_table("half")
'''


@pytest.mark.slow
@pytest.mark.parametrize("start", ["nothing", "head"])
@pytest.mark.parametrize("fault", ["raise LookupError", "op.execute('SELECT nothing')", "raise KeyboardInterrupt"])
def test_a_failed_migration_leaves_no_trace(engine: Engine, tmp_path: Path, start: str, fault: str) -> None:
    if start == "head":
        revisions.upgrade(engine)
    before = definitions(engine)
    (tmp_path / "9999_half.py").write_text(FAILING.format(head=revisions.head(), fault=fault))
    with pytest.raises((LookupError, DatabaseUnavailable, KeyboardInterrupt)):
        upgrade_with(engine, tmp_path)
    assert definitions(engine) == before
    assert tables(engine) == (TABLES if start == "head" else [])
    revisions.upgrade(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM users")) == 0
        assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [revisions.head()]


def test_the_failing_migration_succeeds_without_its_fault(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "9999_half.py").write_text(FAILING.format(head=revisions.head(), fault="pass"))
    upgrade_with(engine, tmp_path)
    assert tables(engine) == sorted([*TABLES, "half"])


def test_two_migrations_do_not_run_at_once(engine: Engine, url: URL) -> None:
    other = Database(url)
    with revisions.migrating(engine) as alembic:
        with pytest.raises(DatabaseUnavailable):
            revisions.upgrade(other.engine)
        command.upgrade(alembic, "head")
    revisions.upgrade(other.engine)
    other.dispose()
    assert tables(engine) == TABLES


@pytest.mark.slow
def test_processes_that_migrate_at_once_all_succeed(tmp_path: Path) -> None:
    environment = os.environ | {"CHARTER_DATA_DIR": str(tmp_path), "DATABASE_URL": ""}
    migrate = [sys.executable, "-c", "from api.cli.main import main; main()", "migrate"]
    processes = [
        subprocess.Popen(migrate, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=PATIENCE_SECONDS) for process in processes]
    assert outputs == [(f"The database is at revision {revisions.head()}.\n", "")] * 3


def test_the_revisions_form_a_single_line() -> None:
    alembic = AlembicConfig()
    alembic.set_main_option("script_location", str(resource_dir("migrations")))
    script = ScriptDirectory.from_config(alembic)
    assert (script.get_heads(), len(script.get_bases())) == ([revisions.head()], 1)
    names = sorted(file.name[:5] for file in (resource_dir("migrations") / "versions").glob("*.py"))
    assert names == [f"{step.revision}_" for step in script.walk_revisions()][::-1]


def test_a_migration_does_not_change_with_the_models() -> None:
    files = [*(resource_dir("migrations") / "versions").glob("*.py")]
    assert files
    of_the_package = re.compile(r"^\s*(?:from|import) api\b", re.MULTILINE)
    assert [file.name for file in files if of_the_package.search(file.read_text())] == []


def test_a_database_of_a_newer_release_is_not_changed(engine: Engine) -> None:
    revisions.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(revisions.RevisionUnknown, match="9999"):
        revisions.upgrade(engine)
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == ["9999"]


TOKENS = table("refresh_tokens", column("digest"), column("session_id", Uuid), column("used_at", UtcDateTime))


def test_revision_0004_keeps_refresh_tokens_and_their_grace_period(config: Config, database: Database) -> None:
    with TestClient(create_app(config)) as client:
        alice, idle = newcomer(client, "alice"), newcomer(client, "bobby")
        lost = alice.refresh_token
        alice.refresh()
    _run(database.engine, command.downgrade, "0003")
    with database.engine.begin() as connection:
        valid = digest(alice.refresh_token)
        session_id = connection.scalars(select(TOKENS.c.session_id).where(TOKENS.c.digest == valid)).one()
        used = [
            (digest(lost), clock.now() + timedelta(minutes=1)),
            (b"an older one", clock.now() - timedelta(seconds=11)),
        ]
        rows = [{"digest": token, "session_id": session_id, "used_at": used_at} for token, used_at in used]
        connection.execute(insert(TOKENS), rows)
    _run(database.engine, command.upgrade, "head")
    with TestClient(create_app(config)) as client:
        assert refresh(client, lost) == alice.refresh_token
        assert {refresh(client, person.refresh_token) for person in (alice, idle)}.isdisjoint({None, lost})


USERS = table("users", column("username"), column("email"), column("email_key"))
KEYS = {
    "A@straße.de": ("a@strasse.de", "a@straße.de"),
    "straße@bücher.example.com": ("strasse@bücher.example.com",) * 2,
    "straße@straße.example.com": ("strasse@strasse.example.com", "strasse@straße.example.com"),
    "zoë@σίσυφος.gr": ("zoë@σίσυφοσ.gr", "zoë@σίσυφος.gr"),
}
"""The keys of some emails before and after revision 0005."""


def test_revision_0005_separates_domains_with_sharp_s_and_final_sigma(config: Config, database: Database) -> None:
    with TestClient(create_app(config)) as client:
        for number, email in enumerate(KEYS):
            form = {"username": f"user{number}", "email": email, "password": PASSWORD}
            assert client.post("/api/v1/auth/signup", json=form).status_code == 201
    assert keys(database) == [after for _, after in KEYS.values()]
    _run(database.engine, command.downgrade, "0004")
    assert keys(database) == [before for before, _ in KEYS.values()]
    _run(database.engine, command.upgrade, "head")
    assert keys(database) == [after for _, after in KEYS.values()]
    with TestClient(create_app(config)) as client:
        assert [log_in(client, email) for email in KEYS] == [200] * len(KEYS)
        assert log_in(client, "a@strasse.de") == 401


def test_a_user_with_a_key_of_release_0_2_0_can_log_in(config: Config, database: Database) -> None:
    with TestClient(create_app(config)) as client:
        for number, (email, (before, _)) in enumerate(KEYS.items()):
            form = {"username": f"user{number}", "email": email, "password": PASSWORD}
            assert client.post("/api/v1/auth/signup", json=form).status_code == 201
            with database.engine.begin() as connection:
                # A process of that release writes this key after the migration, too.
                connection.execute(update(USERS).where(USERS.c.username == form["username"]).values(email_key=before))
        assert [log_in(client, email) for email in KEYS] == [200] * len(KEYS)
        assert log_in(client, "zoë@σίσυφος.com") == 401


def keys(database: Database) -> list[str]:
    """Return the keys of all emails, in the order of the sign-ups."""
    order = {email.lower(): number for number, email in enumerate(KEYS)}
    with database.engine.connect() as connection:
        rows = connection.execute(select(USERS.c.email, USERS.c.email_key)).all()
    return [row.email_key for row in sorted(rows, key=lambda row: order[row.email.lower()])]


def log_in(client: TestClient, name: str) -> int:
    response = client.post("/api/v1/auth/login", json={"username": name, "password": PASSWORD})
    return int(response.status_code)


def refresh(client: TestClient, token: str) -> str | None:
    """Return the refresh token of the response, or None if the token is rejected."""
    response = client.post("/api/v1/auth/refresh", json={"refresh_token": token})
    return response.json().get("refresh_token") if response.status_code == 200 else None
