"""Refreshes while the background task deletes 1,000,000 expired sessions, beside refreshes without this task."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import NamedTuple

from api.config import Config
from benchmarks.speed import client
from benchmarks.speed.charter import background, beginning
from benchmarks.speed.client import connected
from benchmarks.speed.filling import expired, filled, roomy, username
from benchmarks.speed.measure import Length, once
from benchmarks.speed.paced import Chain, paced
from benchmarks.speed.report import table
from benchmarks.speed.results import Section
from benchmarks.speed.service import Service
from tests.support.charter import Charter
from tests.support.installations import DATABASES

EXPIRED = 1_000_000
# More users than connections, so that no two simultaneous requests use the same refresh token.
_USERS = 64
# The p99 depends on one request in a hundred, so the runs are longer.
_TIMES_AS_LONG = 2
_PATIENCE_SECONDS = 60
_TITLES = {"off": "no background task", "on": "while expired sessions are deleted"}


class _Run(NamedTuple):
    """The milliseconds of a refresh, the number of rejections, and the number of sessions deleted per second."""

    p50: float
    p99: float
    refused: int
    deleted: float


def purge(length: Length, folder: Path, count: int = EXPIRED) -> Iterator[Section]:
    """Compare refreshes with and without the background task, at half of the highest rate, on each database."""
    for database, new in DATABASES.items():
        with new(roomy(count)) as config:
            charter = filled(config, count)
            rate = _most(charter, length, folder) / 2
            # The first round is for warming up.
            rounds = [
                {value: _run(charter, config, value, rate, length) for value in _TITLES}
                for _ in range(length.rounds + 1)
            ][1:]
        yield _section(database, rate, {value: [each[value] for each in rounds] for value in _TITLES})


def _most(charter: Charter, length: Length, folder: Path) -> float:
    """Return the number of refreshes that a service completes in a second."""
    file = folder / "requests"
    with beginning(charter) as service:
        file.write_text("\0".join(client.refresh(token).raw for token in _tokens(service)))
        return once(service, file, length.seconds, "chain").rate


def _run(charter: Charter, config: Config, value: str, rate: float, length: Length) -> _Run:
    # A new process each time, because a process that is suspended in a transaction would hold its locks.
    with beginning(background(charter, value)) as service:
        source = Chain(_tokens(service))
        before = _deleting(config) if value == "on" else expired(config)
        began = monotonic()
        result = paced(service.port, source, rate, _TIMES_AS_LONG * length.seconds)
        seconds = monotonic() - began
        after = expired(config)
    assert (value == "off") == (before == after), (value, before, after)
    assert after > 0, "all expired sessions are deleted: the measurement needs more of them"
    refused = result.responses - result.statuses[200]
    return _Run(result.p50, result.p99, refused, (before - after) / seconds)


def _deleting(config: Config) -> int:
    """Wait until the background task deletes sessions, and return the number of expired ones that are left."""
    before, began = expired(config), monotonic()
    while (now := expired(config)) == before:
        assert monotonic() < began + _PATIENCE_SECONDS, "the background task deletes nothing"
        sleep(0.05)
    return now


def _tokens(service: Service) -> list[str]:
    with connected(service.port) as client_:
        return client.refresh_tokens(client_, map(username, range(_USERS)))


def _section(database: str, rate: float, runs: Mapping[str, list[_Run]]) -> Section:
    medians = {value: _Run(*map(median, zip(*each, strict=True))) for value, each in runs.items()}
    refused = {value: sum(run.refused for run in each) for value, each in runs.items()}
    rows = [
        (_TITLES[value], f"{run.p50:.2f}", f"{run.p99:.2f}", str(refused[value]), f"{run.deleted:,.0f}")
        for value, run in medians.items()
    ]
    columns = ("background task", "p50 ms", "p99 ms", "refused", "sessions deleted a second")
    figures = {
        f"purge/{database}": medians["on"].p99 / medians["off"].p99,
        f"purge/{database}/refused": refused["on"],
    }
    title = f"Refreshes while expired sessions are deleted, on {database}, {rate:,.0f} a second"
    return Section(title, table(columns, rows), figures, {})
