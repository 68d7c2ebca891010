"""What is wrong with a deployment, and what to do about it; nothing is changed, and no secret is told."""

import logging
import shutil
from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from stat import S_IMODE
from time import perf_counter
from typing import Any, NamedTuple

from api import config, console, revisions
from api.changes import follow
from api.config import Config
from api.database import Database, Db
from api.errors import DatabaseUnavailable
from api.hashing import Hasher
from api.services import diagnosis, signing_keys
from api.services.signing_keys import State

_DEFAULT_ISSUER = Config.issuer
_SLOW_HASH_SECONDS = 1.0
# A token is judged with a leeway of 30 seconds (api/tokens.py).
_WRONG_SKEW_SECONDS, _ODD_SKEW_SECONDS = 30, 2
_WRONG_FREE_BYTES, _LOW_FREE_BYTES = 100_000_000, 1_000_000_000
_OTHERS = 0o077


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(NamedTuple):
    """What was found of one thing, and what to do unless it is ok."""

    verdict: Verdict
    subject: str
    detail: str


def examine(replicas: int) -> Iterator[Finding]:
    """All there is to find, the quickest first, for so many replicas on one database."""
    try:
        values = config.read()
    except config.ConfigError as error:
        yield from (Finding(Verdict.WRONG, "settings", line) for line in str(error).splitlines())
        return
    unmade = [name for name in config.SECRETS if name not in values]
    if unmade or _is_missing(values["database_url"]):
        yield Finding(Verdict.WRONG, "settings", f"nothing is in {values['data_dir']} yet; run charter migrate")
        return
    settings = Config(**values)
    yield from _judge_settings(settings)
    yield _judge_folder(settings.data_dir)
    yield _judge_hashes(settings)
    yield from _judge_database(settings, replicas * settings.workers)


def _is_missing(url: Any) -> bool:
    # To connect would make it.
    return url.get_backend_name() == "sqlite" and not Path(url.database).exists()


def _judge_settings(settings: Config) -> Iterator[Finding]:
    yield Finding(Verdict.OK, "settings", "all can be used; charter check-config shows them")
    if settings.issuer == _DEFAULT_ISSUER and not _is_loopback(settings.host):
        advice = f"tokens say {_DEFAULT_ISSUER}; set CHARTER_ISSUER to the public URL"
        yield Finding(Verdict.WARNING, "issuer", advice)
    else:
        yield Finding(Verdict.OK, "issuer", settings.issuer)
    if settings.signing_algorithm == "HS256":
        advice = "keys of HS256 are not published: nobody else can verify tokens; ES256 would let them"
        yield Finding(Verdict.WARNING, "algorithm", advice)
    else:
        yield Finding(Verdict.OK, "algorithm", settings.signing_algorithm)
    if settings.check_answers == "report":
        yield Finding(Verdict.WARNING, "answers", "each is checked, which is for tests; unset CHARTER_CHECK_ANSWERS")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _judge_folder(folder: Path) -> Finding:
    if not folder.exists():
        return Finding(Verdict.OK, "data folder", f"there is none at {folder}, and none is needed")
    files = [file for file in folder.iterdir() if file.is_file()] if S_IMODE(folder.stat().st_mode) & _OTHERS else []
    if exposed := sorted(file.name for file in files if S_IMODE(file.stat().st_mode) & _OTHERS):
        advice = f"others on this host can read {', '.join(exposed)}; chmod 700 {folder}"
        return Finding(Verdict.WRONG, "data folder", advice)
    free = shutil.disk_usage(folder).free
    told = f"{folder} has {free / 1e9:.1f} GB free"
    if free < _LOW_FREE_BYTES:
        verdict = Verdict.WRONG if free < _WRONG_FREE_BYTES else Verdict.WARNING
        return Finding(verdict, "data folder", f"{told}; make room")
    return Finding(Verdict.OK, "data folder", told)


def _judge_hashes(settings: Config) -> Finding:
    began = perf_counter()
    Hasher(settings.pepper, settings.bcrypt_cost, lambda call: call()).hash("correct horse battery staple")
    seconds = perf_counter() - began
    told = f"one of cost {settings.bcrypt_cost} takes {seconds:.2f} s: {1 / seconds:.0f} log-ins a second for each core"
    if seconds > _SLOW_HASH_SECONDS:
        return Finding(Verdict.WARNING, "hashes", f"{told}; lower CHARTER_BCRYPT_COST, but not below 10")
    return Finding(Verdict.OK, "hashes", told)


def _judge_database(settings: Config, processes: int) -> Iterator[Finding]:
    # What stands in the way is said once, below.
    logging.getLogger("charter.database").addHandler(logging.NullHandler())
    database = Database(settings.database_url, more_connections=2 * settings.hashes)
    try:
        with database.transaction() as db:
            yield _judge_speed(db, settings.database_url.render_as_string(hide_password=True))
            if diagnosis.is_server(db):
                yield _judge_clock(db)
                yield _judge_connections(db, database.most_connections + 1, processes)
        yield (revision := _judge_revision(revisions.current(database.engine)))
        if revision.verdict is Verdict.OK:
            yield _judge_feed(database)
            with database.transaction() as db:
                yield _judge_keys(db, console.keyring(settings))
    except DatabaseUnavailable as error:
        reason = str(getattr(error.__cause__, "orig", error)).partition("\n")[0]
        yield Finding(Verdict.WRONG, "database", f"{reason}; see DATABASE_URL, and whether it runs")
    finally:
        database.dispose()


def _judge_speed(db: Db, where: str) -> Finding:
    db.connection()
    began = perf_counter()
    diagnosis.answer(db)
    milliseconds = (perf_counter() - began) * 1000
    return Finding(Verdict.OK, "database", f"{where} answers within {milliseconds:.2f} ms")


def _judge_clock(db: Db) -> Finding:
    skew = diagnosis.clock_skew(db).total_seconds()
    told = f"this host's is {abs(skew):.1f} s {'behind' if skew > 0 else 'before'} the database's; let NTP set both"
    if abs(skew) > _WRONG_SKEW_SECONDS:
        return Finding(Verdict.WRONG, "clock", f"{told}, for tokens are refused by another's clock")
    if abs(skew) > _ODD_SKEW_SECONDS:
        return Finding(Verdict.WARNING, "clock", told)
    return Finding(Verdict.OK, "clock", "this host's agrees with the database's")


def _judge_connections(db: Db, each: int, processes: int) -> Finding:
    most, needed = diagnosis.most_connections(db), each * processes
    told = f"{needed} of {most} that PostgreSQL has; {each} for each process"
    if needed > most:
        advice = "raise its max_connections, or lower CHARTER_HASHES or the number of workers"
        return Finding(Verdict.WRONG, "connections", f"up to {told}; {advice}")
    return Finding(Verdict.OK, "connections", f"up to {told}")


def _judge_revision(current: str | None) -> Finding:
    needed = revisions.head()
    if current == needed:
        return Finding(Verdict.OK, "revision", f"{current}, as this release needs it")
    if current is not None and current > needed:
        advice = f"{current} is of a later release; use that one"
        return Finding(Verdict.WRONG, "revision", advice)
    return Finding(
        Verdict.WRONG, "revision", f"{current or 'none'}, but this release needs {needed}; run charter migrate"
    )


def _judge_feed(database: Database) -> Finding:
    try:
        following = follow(database)
    except Exception as error:
        told = f"{str(error).partition(chr(10))[0]}; each request asks the database instead"
        return Finding(Verdict.WARNING, "revocation", told)
    following.connection.close()
    return Finding(Verdict.OK, "revocation", "what others revoke is heard of at once")


def _judge_keys(db: Db, keyring: signing_keys.Keyring) -> Finding:
    rows = signing_keys.list_all(db)
    signing = [row for row in rows if signing_keys.state(row) is State.ACTIVE and row.retires_at is None]
    if not signing:
        return Finding(
            Verdict.WARNING, "signing key", "there is none before the first log-in; charter migrate makes one"
        )
    if keyring.open(signing[-1]) is None:
        advice = f"{signing[-1].id} is sealed under another secret; set the CHARTER_SECRET that all processes have"
        return Finding(Verdict.WRONG, "signing key", advice)
    return Finding(Verdict.OK, "signing key", f"{signing[-1].id} signs, and this secret opens it")
