"""Databases of any size, filled by SQL: users with three sessions each, of which the oldest has expired."""

import shutil
from contextlib import closing
from pathlib import Path
from time import time
from typing import NamedTuple

from sqlalchemy import create_engine

from api.config import Config
from benchmarks.speed import client
from benchmarks.speed.charter import background, beginning, installed, without_hashes
from benchmarks.speed.client import connected
from tests.support.charter import Charter

SESSIONS_OF_A_USER = 3
ADMIN = "pattern"
"""The name of the user who signs up before the others are filled in."""
_FAST = Path("/dev/shm")  # noqa: S108 - a file system in memory
_BYTES_OF_A_USER = 4000
_DAY = 86_400
_LIFE_DAYS = 90


class _Dialect(NamedTuple):
    """The parts of the statements that differ between databases. `i` is the number of a row, a column of `numbers`."""

    numbers: str
    id: str
    moment: str
    padded: str
    digest: str
    before: tuple[str, ...]
    after: tuple[str, ...]


# An id is a UUIDv7: 48 bits of milliseconds, the version, the variant and a number.
_DIALECTS = {
    "sqlite": _Dialect(
        numbers="(WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {0}) SELECT i FROM n)",
        id="printf('%012x70008%015x', ({0}) * 1000, {1})",
        moment="strftime('%Y-%m-%d %H:%M:%S.000000', {0}, 'unixepoch')",
        padded="printf('%08d', {0})",
        digest="randomblob(32)",
        before=("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -1000000"),
        # Charter never analyzes a SQLite database.
        after=("PRAGMA journal_mode = WAL",),
    ),
    "postgresql": _Dialect(
        numbers="generate_series(0, CAST({0} AS bigint) - 1) AS n (i)",
        id="CAST(lpad(to_hex(({0}) * 1000), 12, '0') || '70008' || lpad(to_hex({1}), 15, '0') AS uuid)",
        moment="to_timestamp({0})",
        padded="lpad(CAST({0} AS text), 8, '0')",
        digest="sha256(convert_to('{0}' || i, 'UTF8'))",
        # The rows are consistent, so the foreign keys need no check.
        before=("SET session_replication_role = replica", "SET synchronous_commit = off"),
        # Autovacuum leaves the tables of a running installation in this state.
        after=("VACUUM ANALYZE", "CHECKPOINT"),
    ),
}


def filled(config: Config, users: int) -> Charter:
    """Return an installation with this many users, without background tasks. Password hashes cost nothing."""
    charter = background(without_hashes(installed(config)), "off")
    with beginning(charter) as service, connected(service.port) as client_:
        client_.succeed(client.sign_up(ADMIN))
    fill(config, users)
    return charter


def fill(config: Config, users: int) -> None:
    """Add this many users to a database, and three sessions for each of them.

    They have the password of the only existing user, who becomes an admin.
    """
    engine = create_engine(config.database_url, isolation_level="AUTOCOMMIT")
    dialect = _DIALECTS[engine.dialect.name]
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        for statement in (*dialect.before, *_inserts(dialect, users, int(time())), *dialect.after):
            cursor.execute(statement)
    engine.dispose()


def expired(config: Config) -> int:
    """Return the number of expired sessions in a database."""
    now = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "now()"}
    engine = create_engine(config.database_url)
    with engine.connect() as connection:
        statement = f"SELECT count(*) FROM sessions WHERE expires_at <= {now[engine.dialect.name]}"  # noqa: S608 - fixed text
        count: int = connection.exec_driver_sql(statement).scalar_one()
    engine.dispose()
    return count


def username(number: int) -> str:
    """Return the name of a user that `fill` added."""
    return f"filled{number:08}"


def roomy(users: int) -> Path | None:
    """Return a folder in memory if it has room for this many users, or None for the folder of temporary files."""
    has_room = _FAST.is_dir() and shutil.disk_usage(_FAST).free > 2 * users * _BYTES_OF_A_USER
    return _FAST if has_room else None


def _inserts(dialect: _Dialect, users: int, now: int) -> list[str]:
    sessions = SESSIONS_OF_A_USER * users
    signed_up = f"{now - 300 * _DAY} + i * {200 * _DAY} / {users}"
    user_id = dialect.id.format(signed_up, "i")
    owner_id = dialect.id.format(signed_up.replace("i *", f"(i % {users}) *"), f"i % {users}")
    began = f"{now - _LIFE_DAYS * _DAY} + i * {_LIFE_DAYS * _DAY} / {sessions}"
    session_id = dialect.id.format(began, "i")
    # The first third was used once, 30 to 60 days before its end. The others were used in the last 29 days.
    ends = f"CASE WHEN i < {users} THEN {began} + {30 * _DAY} ELSE {now + _DAY} + i * {29 * _DAY} / {sessions} END"
    name = f"'filled' || {dialect.padded.format('i')}"
    moments = ", ".join(dialect.moment.format(text) for text in (began, f"{ends} - {30 * _DAY}", ends))
    return [
        "UPDATE users SET role = 'admin'",
        f"""
        INSERT INTO users (id, username, username_key, email, email_key, password_hash, created_at)
        SELECT {user_id}, {name}, {name}, {name} || '@example.com', {name} || '@example.com',
            (SELECT password_hash FROM users), {dialect.moment.format(signed_up)}
        FROM {dialect.numbers.format(users)}
        """,  # noqa: S608 - only numbers and fixed text
        f"""
        INSERT INTO sessions
            (id, user_id, family, refresh_token, created_at, last_used_at, expires_at, ip_address, user_agent)
        SELECT {session_id}, {owner_id}, {dialect.digest.format("family")}, {dialect.digest.format("token")},
            {moments}, '127.0.0.1', 'benchmark'
        FROM {dialect.numbers.format(sessions)}
        """,  # noqa: S608 - only numbers and fixed text
    ]
