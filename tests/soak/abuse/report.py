"""The figures, and whether each meets its bar."""

from typing import NamedTuple


class Row(NamedTuple):
    """One measurement: its value, its bar, and whether the value meets the bar."""

    fact: str
    figure: str
    bar: str
    holds: bool


def none_of(fact: str, count: int) -> Row:
    """Return the row of a count that must be zero."""
    return Row(fact, f"{count:,}", "none", count == 0)


def at_most(fact: str, figure: float, bar: float, unit: str) -> Row:
    """Return the row of a value with an upper limit."""
    return Row(fact, f"{figure:,.1f} {unit}", f"at most {bar:,.0f} {unit}", figure <= bar)


def text(rows: list[Row]) -> str:
    """Return all rows as a table."""
    lines = [f"{'':6} {'':58} {'measured':>36}   bar"]
    for row in rows:
        lines.append(f"{'holds' if row.holds else 'MISSED':6} {row.fact:58} {row.figure:>36}   {row.bar}")
    return "\n".join(lines)
