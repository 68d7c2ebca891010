"""The time from the start of Charter and of a baseline to the first response, on a migrated database."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.speed import baselines, charter
from benchmarks.speed.charter import serving
from benchmarks.speed.measure import Length
from benchmarks.speed.report import table
from benchmarks.speed.results import Section
from benchmarks.speed.service import CORE
from tests.support.installations import DATABASES

_TIMES = 5
_OURS, _BASELINE = "Charter", "FastAPI, template"


def starts(_: Length, folder: Path) -> Iterator[Section]:
    """Compare the starts of both on each database."""
    found = {database: _starts(database, folder) for database in DATABASES}
    columns = ("service", "median s", "fastest s", "slowest s")
    rows = (
        (f"{service} on {database}", f"{median(seconds):.2f}", f"{min(seconds):.2f}", f"{max(seconds):.2f}")
        for database, each in found.items()
        for service, seconds in each.items()
    )
    figures = {f"start/{database}": median(each[_OURS]) / median(each[_BASELINE]) for database, each in found.items()}
    yield Section(f"Start to first answer, {_TIMES} times", table(columns, rows), figures, {})


def _starts(database: str, folder: Path) -> Mapping[str, Sequence[float]]:
    """Return the seconds of each start. The two services take turns."""
    taken: dict[str, list[float]] = {_OURS: [], _BASELINE: []}
    with ExitStack() as stack:
        configs = [stack.enter_context(DATABASES[database]()) for _ in range(3)]
        # The baseline verifies tokens of this service, and has the same user.
        place = stack.enter_context(charter.served(configs[0]))
        installed = charter.installed(configs[1])
        url = configs[2].database_url.render_as_string(hide_password=False)
        for _ in range(_TIMES):
            with serving(installed, frozenset({CORE})) as service:
                taken[_OURS].append(service.seconds)
            with baselines.template(place, folder, url) as service:
                taken[_BASELINE].append(service.seconds)
    return taken
