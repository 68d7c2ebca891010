"""Installations for the tests of the command."""

import shutil
from pathlib import Path

import pytest

from tests.support.charter import PEPPER, SECRET, Charter


@pytest.fixture
def charter(tmp_path: Path) -> Charter:
    """Return an installation without settings and without files."""
    return Charter(tmp_path, {})


@pytest.fixture
def migrated(charter: Charter, migrated_file: Path) -> Charter:
    """Return an installation with secrets and a migrated database."""
    charter.data.mkdir(mode=0o700)
    shutil.copy(migrated_file, charter.data / "charter.db")
    for name, secret in (("secret", SECRET), ("pepper", PEPPER)):
        (charter.data / name).write_text(secret)
    return charter
