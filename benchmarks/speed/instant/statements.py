"""Writes each SQL statement that a program sends through SQLAlchemy, with its plan, to a file of JSON lines."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

_EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN (COSTS OFF) "}
_HAVE_PLANS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def write_to(path: Path) -> None:
    """Write the statements of this process to the file from now on."""

    def write(connection: Any, _: Any, statement: str, parameters: Any, __: Any, many: bool) -> None:
        plan = _plan(connection, statement, parameters[0] if many else parameters)
        with path.open("a") as file:
            file.write(json.dumps([" ".join(statement.split()), plan]) + "\n")

    event.listen(Engine, "before_cursor_execute", write)


def _plan(connection: Any, statement: str, parameters: Any) -> list[str]:
    if not statement.lstrip().startswith(_HAVE_PLANS):
        return []
    cursor = connection.connection.cursor()
    try:
        cursor.execute(_EXPLAIN[connection.dialect.name] + statement, parameters)
        # The last column of a row is the text.
        return [row[-1] for row in cursor.fetchall()]
    finally:
        cursor.close()
