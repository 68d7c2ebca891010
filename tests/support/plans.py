"""How each SQL statement of the application finds its rows: no plan may read a whole table that grows.

On SQLite, a page of rows must also come from an index in its order, so that only the rows of the page are read.
"""

import re
import sqlite3
import sys
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.dialects import sqlite

from api import models
from api.storage.rate_limit_store import CREATE_TABLE
from tests.support import own
from tests.support.paths import CHECKOUT

SMALL = {"changes", "events_purge", "signing_keys"}
"""The tables that do not grow with the users.

`signing_keys` gets a row for each rotation, and retired keys are deleted after 30 days. `changes` holds at most 10,000
rows on SQLite and none on PostgreSQL. `events_purge` has one row.
"""

GROWING = models.METADATA.tables.keys() - SMALL | {"rate_limits"}
"""All other tables."""

SORTED = {
    "AS anon_1 ORDER BY anon_1.last_used_at": "a subquery selects the few candidates in the order of an index",
    "FROM codes WHERE codes.email_key = ?": "the rate limits bound the codes of an address",
    "FROM codes WHERE codes.user_id = ?": "the rate limits bound the codes of a user",
    "FROM known_places WHERE known_places.user_id = ?": "a user has at most 20 places",
    "FROM outbox WHERE outbox.user_id = ?": "the rate limits bound the mails of a user, and old ones are deleted",
    "FROM retired_names WHERE retired_names.user_id = ?": "a user gives up at most three names a day for a while",
    "FROM service_secrets WHERE service_secrets.service_id = ?": "a service has at most a few secrets",
}
"""A part of each statement that may sort all rows that it selects, and the reason. Yours are in own.py."""

FILLED = {
    "users",
    "sessions",
    "rate_limits",
    "outbox",
    "codes",
    "known_places",
    "retired_names",
    "events",
    "event_origins",
    "api_keys",
}
"""The tables that `filled` fills on PostgreSQL, whose plans depend on the number of rows."""


class Sent(NamedTuple):
    """A statement with the parameters of its first execution."""

    statement: str
    parameters: Any


class Collector:
    """Collects each statement that code in `api/` sends, by the name of its dialect."""

    def __init__(self) -> None:
        self.sent: dict[str, dict[str, Sent]] = {"sqlite": {}, "postgresql": {}}

    def listen(self) -> None:
        event.listen(Engine, "before_cursor_execute", self._collect)

    def _collect(self, connection: Any, _: Any, statement: str, parameters: Any, *rest: Any) -> None:
        known = self.sent[connection.dialect.name]
        if statement not in known and _is_planned(statement) and _is_of_the_application():
            # A statement that is executed for several rows has a list of parameters.
            known[statement] = Sent(statement, parameters[0] if isinstance(parameters, list) else parameters)


def _is_planned(statement: str) -> bool:
    return statement.lstrip().partition(" ")[0].upper() in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}


def _is_of_the_application() -> bool:
    """Return True if the nearest function of the checkout is in `api/`, and not in a test or a migration.

    Functions of `api/storage/database.py` are skipped, because they send the statements of their callers.
    """
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_OURS) and file != _DATABASE:
            return file.startswith(_API)
        frame = frame.f_back  # type: ignore[assignment]
    return False


_OURS = tuple(f"{CHECKOUT}/{folder}/" for folder in ("api", "benchmarks", "migrations", "tests"))
_API = f"{CHECKOUT}/api/"
_DATABASE = f"{_API}storage/database.py"


def scans_on_sqlite(connection: sqlite3.Connection, statement: str, parameters: Any = None) -> list[str]:
    """Return the steps of the plan that read all of a growing table, or sort its rows to select the first ones."""
    given = [None] * statement.count("?") if parameters is None else parameters
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", given)]
    growing = [step for step in steps if (match := re.match(r"(?:SCAN|SEARCH) (\w+)", step)) and match[1] in GROWING]
    is_page = " LIMIT " in statement and not _has(statement, SORTED)
    sorts = [step for step in steps if step == "USE TEMP B-TREE FOR ORDER BY" and growing and is_page]
    return [step for step in growing if step.startswith("SCAN ")] + sorts


def _has(statement: str, parts: Collection[str]) -> bool:
    """Return True if a statement has one of these parts. Line breaks count as spaces."""
    return any(part in " ".join(statement.split()) for part in parts)


def scans_on_postgresql(engine: Engine, sent: Sent) -> list[str]:
    """Return the filled tables that the plan reads from their first row to their last."""
    with engine.connect() as connection:
        explain = f"EXPLAIN (FORMAT JSON) {sent.statement}"
        [plan] = connection.exec_driver_sql(explain, sent.parameters).scalar_one()
    return [node["Relation Name"] for node in _nodes(plan["Plan"]) if _is_scan(node)]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for part in node.get("Plans", ()):
        yield from _nodes(part)


def _is_scan(node: dict[str, Any]) -> bool:
    return node["Node Type"].endswith("Seq Scan") and node["Relation Name"] in FILLED


def trigger_statements(connection: sqlite3.Connection) -> list[str]:
    """Return the statements inside all triggers, which `EXPLAIN QUERY PLAN` leaves out."""
    found = []
    for (definition,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'"):
        body = definition.partition("BEGIN")[2].rpartition("END")[0]
        found += [re.sub(r"\b(OLD|NEW)\.\w+", "?", part).strip() for part in body.split(";") if part.strip()]
    # SQLite accepts RAISE only inside a trigger.
    return [statement for statement in found if not statement.startswith("SELECT RAISE")]


def foreign_key_statements(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite executes in the referencing tables when a referenced row is deleted."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    keys = [(table, key[3]) for table in tables for key in connection.execute(f"PRAGMA foreign_key_list({table})")]
    return [f"DELETE FROM {table} WHERE {column} = ?" for table, column in keys]  # noqa: S608 - names of ours


def check_sqlite(file: str, sent: dict[str, Sent]) -> list[str]:
    """Return a line for each statement that scans or sorts a growing table of this SQLite database."""
    with closing(sqlite3.connect(file)) as connection:
        # This table is in another file.
        create = str(CREATE_TABLE.compile(dialect=sqlite.dialect()))
        connection.execute(create.replace("CREATE TABLE", "CREATE TEMP TABLE"))
        return [
            f"{step}: {statement}" for statement in _checked(sent) for step in scans_on_sqlite(connection, statement)
        ]


def _checked(sent: dict[str, Sent]) -> dict[str, Sent]:
    """Return the statements that are not listed in own.py."""
    return {statement: each for statement, each in sent.items() if not _has(statement, own.STATEMENTS)}


def advice(found: list[str]) -> str:
    """Return the message of a test run that has sent statements with costly plans."""
    head = (
        "Statements of this test run read or sort a whole table that grows. Add an index, or list the statement with"
        " its reason in STATEMENTS of tests/support/own.py:"
    )
    return "\n".join([head, *found])


def check_postgresql(engine: Engine, sent: dict[str, Sent]) -> list[str]:
    """Return a line for each statement that scans a growing table of this PostgreSQL database."""
    read = [each for each in _checked(sent).values() if _reads(each.statement)]
    return [f"{table}: {each.statement}" for each in read for table in scans_on_postgresql(engine, each)]


def _reads(statement: str) -> bool:
    """Return False for an INSERT of given values, which may be values that a test expects the database to reject."""
    return not statement.startswith("INSERT") or "SELECT" in statement


USERS = 20_000


def filled(url: URL) -> Engine:
    """Fill a PostgreSQL database with 20,000 users and up to three rows for each in other tables, and analyze it."""
    engine = create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in _FILL:
            connection.exec_driver_sql(statement)
        _publish_counts(connection)
    return engine


_FILL = (
    f"""INSERT INTO users
        SELECT md5('u' || n)::uuid, 'user' || n, 'user' || n, n || '@a.com', n || '@a.com', 'hash', now(), NULL
        FROM generate_series(1, {USERS}) AS n""",  # noqa: S608 - a number of ours
    # An update moves a session to another place, so the order of the rows does not follow the expiry.
    f"""INSERT INTO sessions
        SELECT md5('s' || n)::uuid, md5('u' || mod(n, {USERS}) + 1)::uuid, sha256(n::text::bytea), now(), now(),
            now() + (random() * 90 - 30) * interval '1 day', '127.0.0.1', 'browser', sha256(n::text::bytea), '[]'
        FROM generate_series(1, {3 * USERS}) AS n""",  # noqa: S608
    f"""INSERT INTO rate_limits SELECT decode(md5('l' || n), 'hex'), n
        FROM generate_series(1, {3 * USERS}) AS n""",  # noqa: S608
    f"""INSERT INTO outbox
        SELECT md5('m' || n)::uuid, 'test', NULL, 'a@a.com', 'en', '{{}}',
            (ARRAY['waiting', 'sent', 'dead'])[mod(n, 3) + 1], 0, now(),
            now() + mod(n, 9) * interval '1 hour', now(), NULL, NULL, NULL
        FROM generate_series(1, {3 * USERS}) AS n""",  # noqa: S608
    f"""INSERT INTO codes
        SELECT md5('c' || n)::uuid, 'password_reset', sha256(n::text::bytea), md5('u' || n)::uuid, n || '@a.com',
            n || '@a.com', now(), now() + (mod(n, 9) - 4) * interval '1 hour'
        FROM generate_series(1, {USERS}) AS n""",  # noqa: S608
    f"""INSERT INTO known_places
        SELECT md5('u' || mod(n, {USERS}) + 1)::uuid, decode(md5('p' || n), 'hex'), now()
        FROM generate_series(1, {3 * USERS}) AS n""",  # noqa: S608
    f"""INSERT INTO retired_names
        SELECT 'former' || n, md5('u' || n)::uuid, now() + n * interval '1 minute'
        FROM generate_series(1, {USERS}) AS n""",  # noqa: S608
    f"""INSERT INTO events
        SELECT md5('e' || n)::uuid, now() - n * interval '1 minute',
            (ARRAY['session_issued', 'log_in_failed', 'session_revoked'])[mod(n, 3) + 1],
            md5('u' || mod(n, {USERS}) + 1)::uuid, 'anonymous', NULL, NULL, 'logIn', NULL, '{{}}'
        FROM generate_series(1, {3 * USERS}) AS n""",  # noqa: S608
    f"""INSERT INTO event_origins
        SELECT md5('e' || n)::uuid, md5('u' || mod(n, {USERS}) + 1)::uuid, '127.0.0.1', 'browser'
        FROM generate_series(1, {3 * USERS}) AS n""",  # noqa: S608
    f"""INSERT INTO api_keys
        SELECT md5('k' || n)::uuid, md5('u' || mod(n, {USERS}) + 1)::uuid, 'key', sha256(n::text::bytea),
            'charter_key_0000', '["profile"]', now(), now() + (random() * 90 - 30) * interval '1 day', NULL
        FROM generate_series(1, {3 * USERS}) AS n""",  # noqa: S608
    f"VACUUM ANALYZE {', '.join(sorted(FILLED))}",
)


def sequential_scans(engine: Engine, statement: str) -> set[str]:
    """Execute a statement, and return the filled tables that it, its triggers or its foreign keys scanned."""
    before = _scan_counts(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
        _publish_counts(connection)
    after = _scan_counts(engine)
    return {table for table in FILLED if after[table] > before[table]}


def _publish_counts(connection: Connection) -> None:
    """Write the connection's counters at the end of the transaction.

    PostgreSQL writes them at most once a second, and keeps the rest for the next transaction on the connection.
    """
    connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")


def _scan_counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT relname, seq_scan FROM pg_stat_user_tables")
        return {str(name): int(count) for name, count in rows}
