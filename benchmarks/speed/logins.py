"""The rate of log-ins, and their effect on other requests."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from benchmarks.speed import charter
from benchmarks.speed.charter import Place
from benchmarks.speed.crowd import Crowd
from benchmarks.speed.load import Request, Run
from benchmarks.speed.measure import Length, once
from benchmarks.speed.report import table
from benchmarks.speed.results import Section
from benchmarks.speed.service import CORE, Service
from tests.support.installations import sqlite
from tests.support.paths import CHECKOUT

# About the number of hashes that a core computes in a second.
_A_SECOND = 5
# Enough clients to keep a core busy, and few enough that none is rejected.
_CLIENTS_OF_A_CORE = 4
_CROWDS = (0, 8, 64)
# With a log-in per second, a short run would count too few.
_TIMES_AS_LONG = 2


class _Pace(NamedTuple):
    """A rate per second, and the CPU milliseconds per log-in."""

    rate: float
    cost: float


class _Rates(NamedTuple):
    """The hashes and the log-ins that one core computes in a second without other load."""

    hashes: float
    logins: float


class _Pressed(NamedTuple):
    """A run of GET /protected beside log-ins, the log-ins per second, and the milliseconds of the slowest rejection."""

    run: Run
    served: float
    refused: float


def logins(length: Length, folder: Path) -> Iterator[Section]:
    """Measure log-ins, and GET /protected beside them, on one core. Then measure log-ins on two cores."""
    with sqlite() as config, charter.served(config) as place:
        section, alone = _rate(place, length, frozenset({CORE}))
        yield section
        yield _beside(place, length, folder, alone)
    cores = frozenset({0, 1})
    with sqlite() as config, charter.served(config, cores) as place:
        section, _ = _rate(place, length, cores)
        yield section


def _rate(place: Place, length: Length, cores: frozenset[int]) -> tuple[Section, _Rates]:
    times = length.seconds * _A_SECOND * len(cores)
    # The two trials take turns, so both runs of a pair find the machine in the same state.
    pairs = [(_hashed(times, cores), _logged_in(place.service, times, len(cores))) for _ in range(length.rounds)]
    share = 100 * median(ours.rate / raw.rate for raw, ours in pairs)
    title = f"Log-ins on {len(cores)} core{'s' * (len(cores) - 1)}, bcrypt cost 12"
    raw, ours = (_Pace(*map(median, zip(*paces, strict=True))) for paces in zip(*pairs, strict=True))
    rows = ((name, f"{pace.rate:.2f}", f"{pace.cost:.0f}") for name, pace in (("bcrypt alone", raw), ("Log-ins", ours)))
    lines = table(("what", "a second", "CPU ms each"), rows)
    return Section(title, lines, {f"logins/{len(cores)}": share}, {}), _Rates(raw.rate, ours.rate)


def _hashed(times: int, cores: frozenset[int]) -> _Pace:
    numbers = ",".join(map(str, sorted(cores)))
    command = [sys.executable, "-m", "benchmarks.speed.hashes", str(times), numbers]
    seconds, spent = map(float, subprocess.check_output(command, cwd=CHECKOUT, text=True).split())
    return _Pace(times / seconds, spent / times * 1000)


def _logged_in(service: Service, times: int, cores: int) -> _Pace:
    with service.awake():
        before = service.spent
        seconds = Crowd(service.port, _CLIENTS_OF_A_CORE * cores).log_in(times)
        return _Pace(times / seconds, (service.spent - before) / times * 1000)


def _beside(place: Place, length: Length, folder: Path, alone: _Rates) -> Section:
    file = folder / "requests"
    _pressed(place, file, Length(1, 1), 0)
    before = place.service.resident
    rounds = [[_pressed(place, file, length, clients) for clients in _CROWDS] for _ in range(length.rounds)]
    found = dict(zip(_CROWDS, map(_middle, zip(*rounds, strict=True)), strict=True))
    after = place.service.resident
    lines = [*_lines(found), "", f"The service held {before:.1f} MB before, and {after:.1f} MB after."]
    grown = {"grown": 100 * (after / before - 1)}
    return Section("GET /protected while clients log in", lines, _figures(found, alone) | grown, _drawn(found))


def _pressed(place: Place, file: Path, length: Length, clients: int) -> _Pressed:
    crowd = Crowd(place.service.port, clients)
    with place.service.awake():
        # The log-ins of earlier runs may have ended the session of an older token: a user has a limited number.
        file.write_text(Request("/protected", charter.logged_in(place.service.port)).raw)
        with crowd.logging_in():
            began = perf_counter()
            run = once(place.service, file, _TIMES_AS_LONG * length.seconds)
            ended = perf_counter()
    served = _rate_of([moment for moment in crowd.served if began < moment < ended])
    return _Pressed(run, served, max(crowd.refused, default=0.0))


def _rate_of(moments: list[float]) -> float:
    """Return the rate per second from the first log-in to the last, because one takes a large part of a second."""
    return (len(moments) - 1) / (max(moments) - min(moments)) if len(moments) > 1 else 0.0


def _middle(rounds: tuple[_Pressed, ...]) -> _Pressed:
    runs, served, refused = zip(*rounds, strict=True)
    return _Pressed(Run(*map(median, zip(*runs, strict=True))), median(served), max(refused))


def _lines(found: dict[int, _Pressed]) -> list[str]:
    columns = ("clients who log in", "requests/s", "p50 ms", "p90 ms", "p99 ms", "log-ins/s", "slowest refusal ms")
    return table(columns, (_line(clients, pressed) for clients, pressed in found.items()))


def _line(clients: int, pressed: _Pressed) -> Iterator[str]:
    run = pressed.run
    yield from (str(clients), f"{run.rate:,.0f}", f"{run.p50:.2f}", f"{run.p90:.2f}", f"{run.p99:.2f}")
    yield from (f"{pressed.served:.2f}", f"{pressed.refused:.1f}" if pressed.refused else "")


def _figures(found: dict[int, _Pressed], alone: _Rates) -> dict[str, float]:
    figures = {}
    for clients in _CROWDS[1:]:
        pressed = found[clients]
        figures[f"p99/{clients}"] = pressed.run.p99 / found[0].run.p99
        figures[f"kept/{clients}"] = 100 * pressed.run.rate / found[0].run.rate
        # The time of the slowest rejection, in percent of the time of a hash without other load.
        figures[f"refused/{clients}"] = 100 * pressed.refused / 1000 * alone.hashes
        figures[f"served/{clients}"] = 100 * pressed.served / alone.logins
    return figures


def _drawn(found: dict[int, _Pressed]) -> dict[str, float]:
    return {f"Charter, {clients} clients": pressed.run.rate for clients, pressed in found.items()}
