"""The memory of a service with several worker processes, per worker."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from time import sleep

from benchmarks.speed import baselines, charter
from benchmarks.speed.charter import beginning, installed
from benchmarks.speed.measure import Length
from benchmarks.speed.report import table
from benchmarks.speed.results import Section
from benchmarks.speed.service import Service, answers
from tests.support.installations import DATABASES

_WORKERS = 4
_OURS, _BASELINE = "Charter", "FastAPI, template"
# Requests on new connections, so that each worker serves many of them.
_REQUESTS = 400


def memory(_: Length, folder: Path) -> Iterator[Section]:
    """Compare the memory of both on each database. Pages that processes share count once."""
    found = {database: _memory(database, folder) for database in DATABASES}
    columns = ("service", "MB of all processes", "MB per worker")
    rows = (
        (f"{service} on {database}", f"{total:.0f}", f"{total / _WORKERS:.0f}")
        for database, each in found.items()
        for service, total in each.items()
    )
    figures = {f"memory/{database}": 100 * each[_OURS] / each[_BASELINE] for database, each in found.items()}
    yield Section(f"Memory with {_WORKERS} workers", table(columns, rows), figures, {})


def _memory(database: str, folder: Path) -> dict[str, float]:
    """Return the MB of all processes of each service, after it has served requests."""
    with ExitStack() as stack:
        configs = [stack.enter_context(DATABASES[database]()) for _ in range(3)]
        # The baseline verifies tokens of this service, and has the same user.
        place = stack.enter_context(charter.served(configs[0]))
        url = configs[2].database_url.render_as_string(hide_password=False)
        with beginning(installed(configs[1]), CHARTER_WORKERS=str(_WORKERS)) as service:
            found = {_OURS: _after_requests(service)}
        with baselines.template(place, folder, url):
            # This start creates the tables. Several workers would do so at once, and fail.
            pass
        with baselines.template(place, folder, url, _WORKERS) as service, service.awake():
            return found | {_BASELINE: _after_requests(service)}


def _after_requests(service: Service) -> float:
    """Return the MB of the service once all workers have started and served requests."""
    while any(abs(after / before - 1) > 0.01 for before, after in pairwise(_readings(service))):
        pass
    assert all(answers(service.port) for _ in range(_REQUESTS))
    return service.proportional


def _readings(service: Service) -> Iterator[float]:
    for _ in range(4):
        yield service.proportional
        sleep(0.5)
