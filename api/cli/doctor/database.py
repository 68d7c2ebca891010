"""Checks of the database and its contents."""

from collections.abc import Iterator
from datetime import datetime
from time import perf_counter

from api import clock, contract
from api.cli import support
from api.cli.doctor.finding import Finding, Verdict, error, ok, warning
from api.config import Config
from api.config.paths import resource_dir
from api.crypto.access_tokens import LEEWAY_SECONDS
from api.errors import DatabaseUnavailable
from api.services import diagnostics, outbox, roles, signing_keys
from api.services.signing_keys import Keyring, State
from api.storage import revisions, triggers
from api.storage.change_feed import subscribe
from api.storage.database import Database, Db

_ODD_SKEW_SECONDS = 2
_ODD_WAIT_MINUTES = 10


def run_checks(settings: Config, processes: int) -> Iterator[Finding]:
    """Yield a finding for each check. `processes` is the number of worker processes that use the database."""
    support.mute_database_log()
    database = Database(settings.database_url, settings.max_connections)
    try:
        yield from _server(settings, database, processes)
        yield (revision := _revision(revisions.current(database.engine)))
        if revision.verdict is Verdict.OK:
            yield _triggers(database) or _revocation(database)
            with database.transaction() as db:
                missing = diagnostics.missing_objects(db)
                yield _schema(missing)
                if missing:
                    return
                yield _signing_key(db, support.keyring(settings))
                yield _outbox(outbox.oldest_waiting(db))
                yield _deletion(diagnostics.keys_that_keep_users(db))
                yield _roles(roles.in_use(db), has_admin=roles.has_admin(db))
    except DatabaseUnavailable as cause:
        yield error("database", support.reason_of(cause, settings))
    finally:
        database.dispose()


def _server(settings: Config, database: Database, processes: int) -> Iterator[Finding]:
    with database.transaction() as db:
        yield _speed(db, settings.database_url.render_as_string(hide_password=True))
        if settings.is_shared:
            yield _encoding(diagnostics.encoding(db))
            yield _clock(diagnostics.clock_skew(db).total_seconds())
            # Each process also holds one connection outside the pool, for LISTEN.
            each = database.max_connections + 1
            yield (
                _pooled(each)
                if diagnostics.is_pooled(db)
                else _connections(diagnostics.max_connections(db), each, processes)
            )


def _speed(db: Db, where: str) -> Finding:
    db.connection()
    began = perf_counter()
    diagnostics.ping(db)
    return ok("database", f"{where} responds within {(perf_counter() - began) * 1000:.2f} ms")


def _encoding(name: str) -> Finding:
    if name != "UTF8":
        advice = "create a database with ENCODING 'UTF8', and restore a dump there"
        return error("encoding", f"{name}, but Charter requires UTF8; {advice}")
    return ok("encoding", "UTF8, which Charter requires")


def _clock(skew: float) -> Finding:
    fact = f"{abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} the database's clock; synchronize both with NTP"
    if abs(skew) > LEEWAY_SECONDS:
        return error("clock", f"{fact}, because hosts whose clocks differ reject each other's tokens")
    return warning("clock", fact) if abs(skew) > _ODD_SKEW_SECONDS else ok("clock", "in step with the database's clock")


def _pooled(each: int) -> Finding:
    return ok("connections", f"up to {each} connections of each process to the pooler, which has limits of its own")


def _connections(most: int, each: int, processes: int) -> Finding:
    fact = f"up to {each * processes} needed (workers: {processes}, each {each}), PostgreSQL allows {most}"
    if each * processes > most:
        advice = "raise max_connections, or lower CHARTER_HASHES or the number of workers"
        return error("connections", f"{fact}; {advice}")
    return ok("connections", fact)


def _revision(current: str | None) -> Finding:
    needed = revisions.head()
    if current == needed:
        return ok("revision", f"{current}, which this release requires")
    if current is not None and current > needed:
        return error("revision", f"{current} is from a later release; use that release")
    return error("revision", f"{current or 'none'}, but this release requires {needed}; run charter migrate")


def _schema(missing: list[str]) -> Finding:
    if not missing:
        return ok("schema", "has each table and column that this release uses")
    fact = f"the database lacks {' and '.join(missing)}, although its revision is the newest"
    return error("schema", f"{fact}; restore them, or write the migration that creates them: make migration NAME=...")


def _triggers(database: Database) -> Finding | None:
    with database.engine.connect() as connection:
        names = triggers.missing_in(connection)
    if not names:
        return None
    fact = f"the database lacks the triggers {', '.join(names)}; run charter migrate"
    return error("revocation", f"{fact}, until then each request queries the database")


def _revocation(database: Database) -> Finding:
    try:
        following = subscribe(database)
    except Exception as cause:
        fact = str(cause).partition("\n")[0]
        return warning("revocation", f"{fact}; each request queries the database instead")
    following.connection.close()
    return ok("revocation", "revocations arrive immediately")


def _signing_key(db: Db, keyring: Keyring) -> Finding:
    rows = signing_keys.list_all(db)
    signing = [row for row in rows if signing_keys.state(row) is State.ACTIVE and row.retires_at is None]
    if not signing:
        return warning("signing key", "missing until the first log-in; run charter migrate to create one")
    if keyring.open(signing[-1]) is None:
        advice = "is encrypted with another secret; set the same CHARTER_SECRET for all processes"
        return error("signing key", f"{signing[-1].id} {advice}")
    return ok("signing key", f"{signing[-1].id} signs, and this secret decrypts it")


def _deletion(columns: list[str]) -> Finding:
    if not columns:
        return ok("deletion", "each foreign key to the users has ON DELETE CASCADE or SET NULL")
    advice = "add ON DELETE CASCADE or SET NULL in a migration, or the deletion of a user fails"
    return error("deletion", f"{', '.join(columns)}: {advice}")


def _roles(found: list[str], *, has_admin: bool) -> Finding:
    unknown = [role for role in found if role not in contract.load(resource_dir("openapi")).roles]
    if unknown:
        fact = f"users have the roles {', '.join(unknown)}, which the contract lacks, so they have no scopes"
        return warning("roles", f"{fact}; add them to x-roles, or change them: charter users role NAME ROLE")
    if not has_admin:
        return warning("roles", f"there is no admin; {support.MAKE_ADMIN} creates one")
    return ok("roles", "there is an admin, and the contract has the roles of all users")


def _outbox(oldest: datetime | None) -> Finding:
    minutes = int((clock.now() - oldest).total_seconds() // 60) if oldest else 0
    if minutes < _ODD_WAIT_MINUTES:
        return ok("outbox", f"no mail has waited for {_ODD_WAIT_MINUTES} minutes")
    advice = "look for mail_unavailable and mail_later in the log; a process must have CHARTER_BACKGROUND=on"
    return warning("outbox", f"a mail has waited for {minutes} minutes; {advice}")
