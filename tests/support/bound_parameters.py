"""A check of the parameters of statements. SQLAlchemy ignores a parameter that a statement does not have."""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.sql.compiler import SQLCompiler

UNKNOWN: list[str] = []
"""The unknown parameters so far. The application may handle the AssertionError, for example in a background task."""


def reject_unknown() -> None:
    """Fail each later statement that gets an unknown parameter."""
    event.listen(Engine, "before_cursor_execute", _check)


def _check(_: object, __: object, statement: str, ___: object, context: Any, ____: object) -> None:
    compiled = context.compiled
    if isinstance(compiled, SQLCompiler):
        unknown = set(compiled.column_keys or ()) - compiled.binds.keys()
        if unknown:
            UNKNOWN.append(f"unknown parameters {sorted(unknown)}: {statement}")
            raise AssertionError(UNKNOWN[-1])
