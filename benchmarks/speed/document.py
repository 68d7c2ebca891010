"""The page RESULTS.md, with the goals and all figures."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.speed.measure import Length
from benchmarks.speed.report import all_bars
from benchmarks.speed.results import Section

_ABOUT = (Path(__file__).parent / "about.md").read_text()
_PARTS = ("charter", "connexion", "flask", "uvicorn", "bcrypt")


def document(sections: Sequence[Section], circumstances: str) -> str:
    """Return the whole page."""
    figures = {name: figure for section in sections for name, figure in section.figures.items()}
    promises = Section("Goals and results", all_bars(figures), {}, {})
    tables = ("\n".join([f"## {section.title}", "", *section.table]) for section in (promises, *sections))
    head = ("# How fast Charter is", circumstances, "![Requests per second](speed.svg)")
    return "\n\n".join([*head, *tables, _ABOUT])


def circumstances(length: Length) -> str:
    """Return the date, the machine and the versions."""
    model = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].partition("\n")[0]
    machine = f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"
    parts = ", ".join(f"{name} {version(name)}" for name in _PARTS)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} by `make bench` in {length.rounds} rounds of "
        f"{length.seconds} seconds, on {machine}; {parts}. The load of the machine was {os.getloadavg()[0]:.1f} before."
    )
