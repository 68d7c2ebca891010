"""The database's schema: which revision this release needs, and the way there."""

# Only who has a way to go imports Alembic: that takes as long as SQLAlchemy itself, and 12 MB.
# ruff: noqa: PLC0415

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Engine, inspect, text

from api.config import folder
from api.database import reaching

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig

_ALONE = {
    # Left to itself, sqlite3 begins at INSERT, UPDATE and DELETE: tables would stay when their migration fails.
    "sqlite": "BEGIN IMMEDIATE",
    # The number means this lock and no other; whoever migrates may take longer than a request would wait.
    "postgresql": """
        SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(7310579641)
    """,
}


class RevisionUnknown(Exception):
    """The database is at a revision that this release does not know."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"it is at revision {revision}, which this release does not know; use the release that made it"
        )


def head() -> str:
    """The revision that this release needs: the last one, for the name of each file begins with its revision."""
    return max(file.name for file in (folder("migrations") / "versions").glob("*.py")).partition("_")[0]


def upgrade(engine: Engine) -> None:
    """Bring the database to `head`; one that is there already is left alone.

    Raises RevisionUnknown for one that another release has brought further, and DatabaseUnavailable.
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
    """The revision that the database is at, if it has any; raises DatabaseUnavailable."""
    with reaching(), engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


@contextmanager
def migrating(engine: Engine) -> Iterator["AlembicConfig"]:
    """What Alembic's commands take: a transaction that happens whole or not at all, one at a time.

    Raises DatabaseUnavailable.
    """
    with reaching(), engine.begin() as connection:
        connection.exec_driver_sql(_ALONE[engine.dialect.name])
        alembic = _alembic()
        alembic.attributes["connection"] = connection
        yield alembic


def _alembic() -> "AlembicConfig":
    from alembic.config import Config as AlembicConfig

    alembic = AlembicConfig()
    alembic.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    return alembic
