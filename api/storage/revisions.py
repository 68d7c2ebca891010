"""The database schema: the revision that this release needs, and the migrations to that revision."""

# Alembic is imported only to migrate: the import takes as long as that of SQLAlchemy, and 12 MB.
# ruff: noqa: PLC0415

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, ProgrammingError

from api.config.paths import resource_dir
from api.storage import triggers
from api.storage.database import revision_of, translate_errors
from api.storage.engine import encoding_of

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


class MigrationIncomplete(Exception):
    """A migration would leave rows behind that refer to missing rows. It was rolled back."""

    def __init__(self, table: str, target: str, count: int) -> None:
        super().__init__(
            f"the migration leaves {count} rows of {table} whose row in {target} is missing, so it was rolled back; "
            "delete these rows in the migration, because SQLite does not cascade during a migration"
        )


class DatabaseUnsuitable(Exception):
    """The database or its user lacks what the tables require. The message names the remedy."""


@cache
def head() -> str:
    """Return the revision that this release needs: the last one, because each file name starts with its revision."""
    return max(file.name for file in (resource_dir("migrations") / "versions").glob("*.py")).partition("_")[0]


def upgrade(engine: Engine) -> list[str]:
    """Migrate the database to `head`, and create triggers that it lacks. Return their names.

    Raises RevisionUnknown if a later release has migrated the database further, MigrationIncomplete if a migration
    leaves rows without their parent, DatabaseUnsuitable, and DatabaseUnavailable.
    """
    if _is_complete(engine):
        return []
    if current(engine) is None:
        _require_utf8(engine)
    from alembic import command
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    try:
        with migrating(engine) as alembic:
            command.upgrade(alembic, "head")
            return triggers.restore(alembic.attributes["connection"])
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):
            raise
        raise RevisionUnknown(error.__cause__.argument) from None
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in _UNSUITABLE:
            raise
        raise DatabaseUnsuitable(str(error.orig).partition("\n")[0]) from None
    except DataError:
        # Earlier releases created tables in every encoding.
        _require_utf8(engine)
        raise


# The user may not create tables, or search_path names no schema.
_UNSUITABLE = {"42501", "3F000"}


def _require_utf8(engine: Engine) -> None:
    """Raise DatabaseUnsuitable if a database cannot store every character, or counts bytes instead."""
    if engine.dialect.name != "postgresql":
        return
    with translate_errors(), engine.connect() as connection:
        encoding = encoding_of(connection)
    if encoding != "UTF8":
        raise DatabaseUnsuitable(f"its encoding must be UTF8, not {encoding}; create one with ENCODING 'UTF8'")


def _is_complete(engine: Engine) -> bool:
    with translate_errors(), engine.connect() as connection:
        return revision_of(connection) == head() and not triggers.missing_in(connection)


def current(engine: Engine) -> str | None:
    """Return the revision of the database, or None before the first migration. Raises DatabaseUnavailable."""
    with translate_errors(), engine.connect() as connection:
        return revision_of(connection)


@contextmanager
def migrating(engine: Engine) -> Iterator["AlembicConfig"]:
    """Yield the configuration for Alembic's commands, in one transaction. Only one migration runs at a time.

    Raises MigrationIncomplete and DatabaseUnavailable.
    """
    prepare, verified = _STEPS[engine.dialect.name]
    with translate_errors(), engine.connect() as connection:
        prepare(connection)
        with connection.begin():
            connection.exec_driver_sql(_ALONE[engine.dialect.name])
            alembic = _alembic()
            alembic.attributes["connection"] = connection
            with verified(connection):
                yield alembic


def _stop_cascades(connection: Connection) -> None:
    """Turn foreign keys off: dropping a table that is recreated would delete all rows that refer to it."""
    # The pool must not lend the connection again.
    connection.detach()
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    # SQLite ignores this pragma inside a transaction.
    connection.commit()


@contextmanager
def _without_new_orphans(connection: Connection) -> Iterator[None]:
    """Raise MigrationIncomplete if the block leaves more rows without their parent than it found."""
    before = _orphans(connection)
    yield
    for (table, parent), count in (_orphans(connection) - before).items():
        raise MigrationIncomplete(table, parent, count)


def _orphans(connection: Connection) -> Counter[tuple[str, str]]:
    """Return the number of rows without their parent, by table and parent."""
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check")
    return Counter((table, parent) for table, _, parent, _ in rows)


_STEPS: dict[str, tuple[Callable[[Connection], object], Callable[[Connection], AbstractContextManager[object]]]] = {
    "sqlite": (_stop_cascades, _without_new_orphans),
    "postgresql": (lambda _: None, nullcontext),
}


def _alembic() -> "AlembicConfig":
    from alembic.config import Config as AlembicConfig

    alembic = AlembicConfig()
    alembic.set_main_option("script_location", str(resource_dir("migrations")).replace("%", "%%"))
    return alembic


def is_compared(dialect: str, item: Any, *_: object) -> bool:
    """Return True if Alembic compares this table or part of a table with a database of this dialect."""
    return item.info.get("dialect") in {None, dialect}
