"""The database's schema: which revision this release needs, and the way there."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Engine

from api.config import folder
from api.database import reaching

_ALONE = {
    # Left to itself, sqlite3 begins at INSERT, UPDATE and DELETE: tables would stay when their migration fails.
    "sqlite": "BEGIN IMMEDIATE",
    # The number means this lock and no other; whoever migrates may take longer than a request would wait.
    "postgresql": "SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(7310579641)",
}


class RevisionUnknown(Exception):
    """The database is at a revision that this release does not know."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"it is at revision {revision}, which this release does not know; use the release that made it"
        )


def head() -> str:
    """The revision that this release needs."""
    return str(ScriptDirectory.from_config(_alembic()).get_current_head())


def upgrade(engine: Engine) -> None:
    """Bring the database to `head`; one that is there already is left alone.

    Raises RevisionUnknown for one that another release has brought further, and DatabaseUnavailable.
    """
    try:
        with migrating(engine) as alembic:
            command.upgrade(alembic, "head")
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):
            raise
        raise RevisionUnknown(error.__cause__.argument) from None


@contextmanager
def migrating(engine: Engine) -> Iterator[AlembicConfig]:
    """What Alembic's commands take: a transaction that happens whole or not at all, one at a time.

    Raises DatabaseUnavailable.
    """
    with reaching(), engine.begin() as connection:
        connection.exec_driver_sql(_ALONE[engine.dialect.name])
        alembic = _alembic()
        alembic.attributes["connection"] = connection
        yield alembic


def _alembic() -> AlembicConfig:
    alembic = AlembicConfig()
    alembic.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    return alembic
