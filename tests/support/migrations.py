"""Migrations that a test adds to those of the checkout."""

from pathlib import Path

from alembic import command
from sqlalchemy import Engine

from api.config.paths import resource_dir
from api.storage import revisions

MIGRATION = '''
"""A migration of a test."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    {steps}
'''


def upgrade_with(engine: Engine, versions: Path) -> None:
    """Upgrade to the newest of Charter's migrations and those in a folder."""
    with revisions.migrating(engine) as alembic:
        alembic.set_main_option("path_separator", "newline")
        alembic.set_main_option("version_locations", f"{resource_dir('migrations') / 'versions'}\n{versions}")
        command.upgrade(alembic, "head")


def migrate(engine: Engine, folder: Path, *steps: str) -> None:
    """Run a migration of these lines after all others."""
    text = MIGRATION.format(head=revisions.head(), steps="\n    ".join(steps))
    (folder / "9999_of_a_test.py").write_text(text)
    upgrade_with(engine, folder)
