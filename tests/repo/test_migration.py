"""`make migration` writes a migration from the tables."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import BIN, CHECKOUT
from tests.support.readme import block

# Brings a database up, down by one step and up again, and fails if it differs from the tables.
JOURNEY = """
import sys
from alembic import command
from sqlalchemy import URL
from api import models
from api.storage import revisions
from api.storage.database import Database
database = Database(URL.create("sqlite", database=sys.argv[1]))
for step in (lambda a: command.upgrade(a, "head"), command.check, lambda a: command.downgrade(a, "-1"),
             lambda a: command.upgrade(a, "head"), command.check):
    with revisions.migrating(database.engine) as alembic:
        step(alembic)
"""

UNCHANGED = r"The tables are the same as in migration \d+\. Change a table, or add it to api/models/__init__\.py\."


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that `make migration` needs."""
    copy = tmp_path / "charter"
    for folder in ("api", "migrations", "openapi", "tools"):
        shutil.copytree(CHECKOUT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("Makefile", "pyproject.toml"):
        shutil.copy(CHECKOUT / file, copy)
    return copy


def run(checkout: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, check=False, cwd=checkout, env=environment, capture_output=True, text=True)


def make_migration(checkout: Path, name: str) -> subprocess.CompletedProcess[str]:
    # The environment of these tests is installed. `-o` keeps make from updating it.
    return run(checkout, "make", "-o", ".venv/.ruff", f"BIN={BIN}", "migration", f"NAME={name}")


@pytest.mark.slow
def test_a_new_table_becomes_the_migration_in_the_docs(checkout: Path) -> None:
    (checkout / "api/models/note.py").write_text(block('"""The notes.').text)
    (checkout / "api/models/__init__.py").write_text(block('"""The tables, one module').text)
    result = make_migration(checkout, "notes")
    assert result.returncode == 0, result.stderr
    (written,) = (checkout / "migrations/versions").glob("*_notes.py")
    assert result.stdout == f"Wrote migrations/versions/{written.name}. Read it, then run the tests.\n"
    assert written.read_text() == block('"""Notes."""\n\nimport sqlalchemy').text


@pytest.mark.slow
def test_a_new_column_and_index_become_a_migration_that_runs(checkout: Path) -> None:
    module = checkout / "api/models/user.py"
    column = '    Column("seen_at", UtcDateTime, index=True),\n'
    disabled = '    Column("disabled_at", UtcDateTime),\n'
    assert disabled in module.read_text()
    module.write_text(module.read_text().replace(disabled, disabled + column))
    assert make_migration(checkout, "last_seen").returncode == 0
    (written,) = (checkout / "migrations/versions").glob("*_last_seen.py")
    added = 'op.add_column("users", sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True))'
    assert added in written.read_text()
    assert run(checkout, sys.executable, "-m", "ruff", "format", "--check", written).returncode == 0
    journey = run(checkout, sys.executable, "-c", JOURNEY, checkout / "new.db")
    assert journey.returncode == 0, journey.stderr


@pytest.mark.slow
def test_a_long_generated_line_is_wrapped(checkout: Path) -> None:
    module = checkout / "api/models/user.py"
    names = [f"bookmarks_of_the_profile_{number}" for number in range(3)]
    columns = "".join(f'    Column("{name}", String, unique=True),\n' for name in names)
    disabled = '    Column("disabled_at", UtcDateTime),\n'
    module.write_text(module.read_text().replace(disabled, disabled + columns))
    result = make_migration(checkout, "bookmarks")
    assert result.returncode == 0, result.stderr
    (written,) = (checkout / "migrations/versions").glob("*_bookmarks.py")
    assert max(map(len, written.read_text().splitlines())) <= 120
    assert run(checkout, sys.executable, "-m", "ruff", "check", written).returncode == 0


@pytest.mark.slow
def test_a_migration_that_cannot_run_is_deleted(checkout: Path) -> None:
    module = checkout / "api/models/user.py"
    disabled = '    Column("disabled_at", UtcDateTime),\n'
    kind = "class Color(String):\n    pass\n\n\nclass UserRow("
    text = module.read_text().replace(disabled, f'{disabled}    Column("color", Color),\n')
    module.write_text(text.replace("class UserRow(", kind))
    before = sorted((checkout / "migrations/versions").glob("*.py"))
    result = make_migration(checkout, "color")
    assert result.returncode != 0
    assert sorted((checkout / "migrations/versions").glob("*.py")) == before
    (message, _) = result.stderr.splitlines()
    assert re.match(r"Ruff rejects migrations/versions/\d+_color\.py, so the file is deleted: .* F821 ", message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes", UNCHANGED),
        ("../notes", "NAME must be a name"),
        ("", "NAME must be"),
    ],
)
@pytest.mark.slow
def test_an_unchanged_table_or_an_invalid_name_is_an_error(checkout: Path, name: str, message: str) -> None:
    before = sorted((checkout / "migrations/versions").glob("*.py"))
    result = make_migration(checkout, name)
    assert result.returncode != 0
    assert re.match(message, result.stderr)
    assert sorted((checkout / "migrations/versions").glob("*.py")) == before
