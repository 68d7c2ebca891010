"""Runs that take turns, so that whatever slows the machine slows all alike."""

from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.speed import load
from benchmarks.speed.load import Request, Run
from benchmarks.speed.service import Service

_WARM_UP_SECONDS = 1


class Length(NamedTuple):
    """How many rounds there are, and how long each service is asked in each of them."""

    rounds: int
    seconds: int


Batches = Callable[[int], Iterable[Request]]
"""What is sent in the round of this number; 0 is for warming up."""


def again(request: Request) -> Batches:
    """One request, in every round."""
    return lambda _: [request]


def taking_turns(services: Mapping[str, Service], batches: Batches, length: Length, folder: Path) -> dict[str, Run]:
    """The median of the runs of each service, by its name."""
    runs: dict[str, list[Run]] = {name: [] for name in services}
    file = folder / "requests"
    for number in range(length.rounds + 1):
        file.write_text("\0".join(request.raw for request in batches(number)))
        for name, service in services.items():
            with service.awake():
                run = once(service, file, length.seconds if number else _WARM_UP_SECONDS)
            runs[name] += [run] if number else []
    return {name: Run(*map(median, zip(*found, strict=True))) for name, found in runs.items()}


def once(service: Service, file: Path, seconds: float) -> Run:
    """One run, of a service that is awake."""
    before = service.spent
    run = load.run(service.port, file, seconds)
    return run._replace(cost=(service.spent - before) / run.answers * 1e6 if run.answers else inf)
