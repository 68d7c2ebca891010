"""The triggers of the change feed and the audit log: their declaration, the search for missing ones, and their repair.

Without its trigger, the end of a session is unknown to other processes. A table that is dropped and created anew loses
its triggers.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import DDL, Connection, text

ACTIVE = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    # A trigger that is disabled, or runs on a replica only, records nothing.
    "postgresql": """
        SELECT tgname FROM pg_catalog.pg_trigger
        WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND pg_catalog.pg_table_is_visible(tgrelid)
    """,
}
"""The query for the names of all triggers that run, by dialect."""

_TRIGGER = re.compile(r"\s*CREATE TRIGGER (\w+) .*? ON (\w+)", re.DOTALL)
_declared: defaultdict[str, list[str]] = defaultdict(list)


def declare(dialect: str, statements: Iterable[str]) -> None:
    """Add the statements that create triggers, and the functions that they call, to those that a database needs."""
    _declared[dialect] += statements


def missing(dialect: str, active: Iterable[str]) -> list[str]:
    """Return the names of the declared triggers that are not among the active ones."""
    found = set(active)
    names = [match[1] for match in map(_TRIGGER.match, _declared[dialect]) if match]
    return [name for name in names if name not in found]


def missing_in(connection: Connection) -> list[str]:
    """Return the names of the declared triggers that the database lacks or has disabled."""
    dialect = connection.dialect.name
    return missing(dialect, connection.scalars(text(ACTIVE[dialect])))


def restore(connection: Connection) -> list[str]:
    """Create the missing triggers, and return their names."""
    names = missing_in(connection)
    for statement in _declared[connection.dialect.name] if names else ():
        trigger = _TRIGGER.match(statement)
        if trigger is None:
            connection.execute(_ddl(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")))
        elif trigger[1] in names:
            _drop_disabled(connection, *trigger.groups())
            connection.execute(_ddl(statement))
    return names


def _drop_disabled(connection: Connection, name: str, table: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(_ddl(f"DROP TRIGGER IF EXISTS {name} ON {table}"))


def _ddl(statement: str) -> DDL:
    return DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
