"""Fail if a statement gets a parameter that it does not have. SQLAlchemy ignores it."""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.sql.compiler import SQLCompiler


def reject_unknown() -> None:
    """Check the parameters of each statement from now on."""
    event.listen(Engine, "before_cursor_execute", _check)


def _check(_: object, __: object, statement: str, ___: object, context: Any, ____: object) -> None:
    compiled = context.compiled
    if isinstance(compiled, SQLCompiler):
        unknown = set(compiled.column_keys or ()) - compiled.binds.keys()
        assert not unknown, f"unknown parameters {sorted(unknown)}: {statement}"
