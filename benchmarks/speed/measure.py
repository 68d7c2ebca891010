"""Measurements that take turns, so that other load on the machine affects all of them alike."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from math import inf
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.speed import load
from benchmarks.speed.load import Order, Request, Run
from benchmarks.speed.service import Service

_WARM_UP_SECONDS = 1


class Length(NamedTuple):
    """The number of rounds, and the seconds that each service is measured in each round."""

    rounds: int
    seconds: int


Batches = Callable[[int], Iterable[Request]]
"""Returns the requests of a round. Round 0 warms up."""


def again(request: Request) -> Batches:
    """Return the batches with one request in every round."""
    return lambda _: [request]


Trial = Callable[[int, int], Run]
"""Does one run of this many seconds, in the round with this number. Round 0 warms up."""


def in_turns(trials: Mapping[str, Trial], length: Length) -> dict[str, Run]:
    """Return the median of the runs of each trial, by its name."""
    runs: dict[str, list[Run]] = {name: [] for name in trials}
    for number in range(length.rounds + 1):
        for name, trial in trials.items():
            run = trial(number, length.seconds if number else _WARM_UP_SECONDS)
            runs[name] += [run] if number else []
    return {name: Run(*map(median, zip(*found, strict=True))) for name, found in runs.items()}


def taking_turns(services: Mapping[str, Service], batches: Batches, length: Length, folder: Path) -> dict[str, Run]:
    """Return the median of the runs of each service, by its name."""
    file = folder / "requests"

    # Cached: all services get the same requests, and some take long to make.
    @cache
    def prepare(number: int) -> Order:
        requests = [request.raw for request in batches(number)]
        file.write_text("\0".join(requests))
        return "once" if len(requests) > 1 else "again"

    def sending(service: Service) -> Trial:
        def trial(number: int, seconds: int) -> Run:
            order = prepare(number)
            with service.awake():
                return once(service, file, seconds, order)

        return trial

    return in_turns({name: sending(service) for name, service in services.items()}, length)


def once(service: Service, file: Path, seconds: float, order: Order = "again") -> Run:
    """Return one run of a service, which runs only meanwhile."""
    before = service.spent
    run = load.run(service.port, file, seconds, order)
    return run._replace(cost=(service.spent - before) / run.answers * 1e6 if run.answers else inf)
