"""Partial indexes, and others with options of PostgreSQL, and the hint that lets SQLite use them.

The dialect of PostgreSQL is not imported on SQLite: the import takes 0.03 s and 5 MB.
"""

from typing import Any

from sqlalchemy import ColumnElement, Index, MetaData, TextClause
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_OPTIONS = "postgresql"


def partial_index(name: str, column: str, where: TextClause) -> Index:
    """Return an index of the rows for which `where` is true."""
    return Index(name, column, sqlite_where=where, info=with_postgresql(where=where))


def with_postgresql(**options: Any) -> dict[str, Any]:
    """Return the `info` of an index that has these options on PostgreSQL."""
    return {_OPTIONS: options}


def set_options(metadata: MetaData) -> None:
    """Set the options of PostgreSQL, before tables are created, compared or written to a migration."""
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"].update(index.info.get(_OPTIONS, {}))


class likely(FunctionElement[bool]):  # noqa: N801 - named like the function of SQLite
    """A condition of a partial index, for which SQLite must not prefer another index: it holds for most rows.

    SQLite only recognizes the condition if its values are literals.
    """

    # With the type Boolean, SQLAlchemy would add a comparison on SQLite.
    inherit_cache = True

    def __init__(self, condition: ColumnElement[bool]) -> None:
        super().__init__(condition)


@compiles(likely)
def _condition(element: likely, compiler: Any, **options: Any) -> str:
    text: str = compiler.process(element.clauses, **options)
    return text


@compiles(likely, "sqlite")
def _likely_condition(element: likely, compiler: Any, **options: Any) -> str:
    return f"likely({_condition(element, compiler, **options)})"
