"""Helpers of all commands: the settings, the database, and error messages without a traceback."""

# Each command imports only what it needs: importing everything takes a second, even for --help.
# ruff: noqa: PLC0415

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from api.config import Config
    from api.services.signing_keys import Keyring
    from api.storage.database import Database, Db

_log = logging.getLogger("charter.database")

MAKE_ADMIN = "charter users create NAME EMAIL --role admin"
"""The command that makes the first admin."""


@contextmanager
def friendly_errors(*mendable: type[Exception]) -> Iterator[None]:
    """Report these exceptions as an error message, without a traceback, and end the command."""
    try:
        yield
    except mendable as error:
        raise click.ClickException(str(error).replace("\n", "\n       ")) from None


def load(**options: str) -> "Config":
    """Return the settings and print warnings, or end the command. Create a missing data folder and missing secrets.

    Options are named after their variable and override the environment.
    """
    from api import config

    with friendly_errors(config.ConfigError):
        found = config.load(**options)
    print_warnings()
    return found


def load_existing() -> "Config":
    """Return the settings and print warnings, or end the command. Create nothing.

    Without its database or its secrets, the installation is not complete, which ends the command, too.
    """
    from api import config

    with friendly_errors(config.ConfigError):
        found = config.load_existing()
    print_warnings()
    return found


def print_warnings() -> None:
    """Print the warnings about the settings on standard error."""
    from api import config

    for line in config.find_warnings():
        click.echo(f"Warning: {line}", err=True)


def keyring(config: "Config") -> "Keyring":
    """Return the keyring, which decrypts the signing keys in the database and creates new ones."""
    from api.services.signing_keys import Keyring

    return Keyring(config.secret, config.signing_algorithm, config.access_token_seconds)


def mute_database_log() -> None:
    """Keep the errors of the database out of the log, because the command reports them itself."""
    logging.getLogger("charter.database").addHandler(logging.NullHandler())


def reason_of(error: Exception, config: "Config") -> str:
    """Return the reason of an error of the database in one line, with a remedy if the database is unavailable."""
    from api.errors import DatabaseUnavailable
    from api.storage.database import SchemaMismatch

    if isinstance(error, SchemaMismatch):
        return str(error)
    reason = str(getattr(error.__cause__, "orig", error)).partition("\n")[0]
    if not isinstance(error, DatabaseUnavailable):
        return reason
    remedy = "check DATABASE_URL and the server" if config.is_shared else "check the file and the rights of its folder"
    return f"{reason}; {remedy}"


@contextmanager
def open_database(config: "Config", *mendable: type[Exception], cannot: str) -> Iterator["Database"]:
    """Yield the database. Report DatabaseUnavailable and the `mendable` exceptions in one line, and end the command."""
    from api.errors import DatabaseUnavailable
    from api.storage.database import Database, SchemaMismatch

    database = Database(config.database_url)
    reported: tuple[type[Exception], ...] = (DatabaseUnavailable, SchemaMismatch, *mendable)
    mute_database_log()
    try:
        yield database
    except reported as error:
        where = config.database_url.render_as_string(hide_password=True)
        raise click.ClickException(f"{where} cannot be {cannot}: {reason_of(error, config)}") from None
    finally:
        database.dispose()


def report_database(config: "Config") -> None:
    """Log whether the database is at the revision of this release, and whether it has an admin.

    An unreachable database is logged as well.
    """
    from api.errors import DatabaseUnavailable, MigrationsBehind
    from api.services import readiness, roles
    from api.storage import revisions
    from api.storage.database import Database, SchemaMismatch

    database = Database(config.database_url)
    try:
        with database.transaction() as db:
            readiness.check(db, revisions.head())
            if not roles.has_admin(db):
                _log.info("no_admin", extra={"facts": {"hint": MAKE_ADMIN}})
    except MigrationsBehind as error:
        _log.warning("migrations_behind", extra={"facts": {"hint": error.message}})
    except SchemaMismatch as error:
        _log.error("schema_mismatch", extra={"facts": {"cause": str(error)}})
    except DatabaseUnavailable:
        pass
    finally:
        database.dispose()


def _log_events(config: "Config") -> None:
    """Write events to standard error, unless it is a terminal, where the output of the command says the same."""
    from api import logs

    if config.log_format != "auto" or not sys.stderr.isatty():
        logs.configure(config.log_format)


@contextmanager
def transaction(config: "Config") -> Iterator["Db"]:
    """Yield a transaction. End the command if the database is not at the revision of this release."""
    from api import logs

    _log_events(config)
    logs.cause.set(logs.Cause("cli"))
    with open_database(config, cannot="used") as database, database.transaction() as db:
        require_current(db)
        yield db


def require_current(db: "Db") -> None:
    """End the command if the database is not at the revision of this release."""
    from api.errors import MigrationsBehind
    from api.services import readiness
    from api.storage import revisions

    try:
        readiness.check(db, revisions.head())
    except MigrationsBehind as error:
        raise click.ClickException(error.message) from None


def confirm(question: str, otherwise: str) -> None:
    """End the command unless the operator answers yes. Without a terminal, `otherwise` says what to run."""
    if not sys.stdin.isatty():
        raise click.ClickException(otherwise)
    click.confirm(question, abort=True)
