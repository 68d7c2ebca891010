"""How long `charter serve` takes to its first answer, on a database that is migrated."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.speed import charter
from benchmarks.speed.charter import serving
from benchmarks.speed.measure import Length
from benchmarks.speed.report import table
from benchmarks.speed.results import Section
from benchmarks.speed.service import CORE
from tests.databases import DATABASES

_TIMES = 5


def starts(length: Length, folder: Path) -> Iterator[Section]:
    """On each kind of database."""
    found = {name: sorted(_starts(name)) for name in DATABASES}
    columns = ("database", "median s", "fastest s", "slowest s")
    rows = [(name, *(f"{figure:.2f}" for figure in (median(all_), all_[0], all_[-1]))) for name, all_ in found.items()]
    figures = {f"start/{name}": median(all_) for name, all_ in found.items()}
    yield Section(f"Start to first answer, {_TIMES} times", table(columns, rows), figures, {})


def _starts(name: str) -> Iterator[float]:
    with DATABASES[name]() as config:
        installed = charter.installed(config)
        for _ in range(_TIMES):
            with serving(installed, frozenset({CORE})) as service:
                yield service.seconds
