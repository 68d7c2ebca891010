"""The bounds and the measured values."""

from collections.abc import Iterable
from typing import NamedTuple

from tests.soak.chaos.verdict import Verdict


class Row(NamedTuple):
    """A value that must not exceed its bound."""

    what: str
    bound: float
    found: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        return self.found <= self.bound


def of_verdict(verdict: Verdict) -> list[Row]:
    """Return the rows that no write of any kind was lost."""
    assert verdict.acknowledged
    return [
        Row(f"lost, of {verdict.acknowledged:,} acknowledged writes", 0, verdict.lost),
        Row("doubled", 0, verdict.doubled),
        Row(f"damage that the database finds{verdict.damage and f': {verdict.damage}'}", 0, bool(verdict.damage)),
    ]


def table(title: str, rows: Iterable[Row]) -> str:
    """Return a table under its title."""
    lines = [("figure", "bound", "measured", ""), ("---", "---:", "---:", "---:")]
    lines += [(row.what, *_figures(row)) for row in rows]
    return "\n".join([title, "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def _figures(row: Row) -> tuple[str, str, str]:
    asked = f"at most {row.bound:g} {row.unit}" if row.bound else "none"
    return asked, f"{row.found:.3g} {row.unit}".strip(), "holds" if row.holds else "MISSED"
