"""The database schema: the revision that this release needs, and the migrations to that revision."""

# Alembic is imported only to migrate: the import takes as long as that of SQLAlchemy, and 12 MB.
# ruff: noqa: PLC0415

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from api.config.paths import resource_dir
from api.storage.database import revision_of, translate_errors

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig

_ALONE = {
    # By default, sqlite3 begins only at INSERT, UPDATE and DELETE, so tables would remain after a failed migration.
    "sqlite": "BEGIN IMMEDIATE",
    # The number identifies the migration lock. A migration may wait and run longer than a request may.
    "postgresql": """
        SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(7310579641)
    """,
}


class RevisionUnknown(Exception):
    """The database is at a revision that is unknown to this release."""

    def __init__(self, revision: str) -> None:
        super().__init__(f"unknown revision {revision}; use the release that migrated the database to it")


def head() -> str:
    """Return the revision that this release needs: the last one, because each file name starts with its revision."""
    return max(file.name for file in (resource_dir("migrations") / "versions").glob("*.py")).partition("_")[0]


def upgrade(engine: Engine) -> None:
    """Migrate the database to `head`, unless it is already there.

    Raises RevisionUnknown if a later release has migrated the database further, and DatabaseUnavailable.
    """
    if current(engine) == head():
        return
    from alembic import command
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    try:
        with migrating(engine) as alembic:
            command.upgrade(alembic, "head")
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):
            raise
        raise RevisionUnknown(error.__cause__.argument) from None


def current(engine: Engine) -> str | None:
    """Return the revision of the database, or None before the first migration. Raises DatabaseUnavailable."""
    with translate_errors(), engine.connect() as connection:
        return revision_of(connection)


@contextmanager
def migrating(engine: Engine) -> Iterator["AlembicConfig"]:
    """Yield the configuration for Alembic's commands, in one transaction. Only one migration runs at a time.

    Raises DatabaseUnavailable.
    """
    with translate_errors(), engine.begin() as connection:
        connection.exec_driver_sql(_ALONE[engine.dialect.name])
        alembic = _alembic()
        alembic.attributes["connection"] = connection
        yield alembic


def _alembic() -> "AlembicConfig":
    from alembic.config import Config as AlembicConfig

    alembic = AlembicConfig()
    alembic.set_main_option("script_location", str(resource_dir("migrations")).replace("%", "%%"))
    return alembic
