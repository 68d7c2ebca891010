"""Two workers beside one, on PostgreSQL, at a rate that is half of what one can serve: CPU for each request.

A busy process serves several requests each time it wakes up, so a request costs more at a lower rate. One worker at
half of the rate has the same load as each of the two, and shows how much of the difference is due to that.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.speed import client
from benchmarks.speed.charter import beginning, installed, without_hashes
from benchmarks.speed.client import connected
from benchmarks.speed.load import Order, Request
from benchmarks.speed.measure import Length, once
from benchmarks.speed.paced import Again, Chain, Source, paced
from benchmarks.speed.report import table
from benchmarks.speed.results import Section
from benchmarks.speed.service import Service
from tests.support.installations import postgresql

_CORES = frozenset({0, 1})
# More users than connections, so that no two simultaneous requests use the same refresh token.
_USERS = [f"user{number:08}" for number in range(64)]


Pair = dict[str, str]


class _Operation(NamedTuple):
    """An operation with the token pairs of some users, as requests for wrk and as a source for a constant rate."""

    title: str
    order: Order
    request: Callable[[Pair], Request]
    source: Callable[[Sequence[Pair]], Source]


def _profile(pair: Pair) -> Request:
    return Request("/api/v1/me", pair["access_token"])


_OPERATIONS = {
    "me": _Operation("GET /api/v1/me", "again", _profile, lambda pairs: Again(_profile(pairs[0]))),
    "refresh": _Operation(
        "POST /api/v1/auth/refresh",
        "chain",
        lambda pair: client.refresh(pair["refresh_token"]),
        lambda pairs: Chain(pair["refresh_token"] for pair in pairs),
    ),
}


class _Run(NamedTuple):
    """The CPU microseconds per request, and the 99th percentile in milliseconds."""

    cost: float
    p99: float


class _Load(NamedTuple):
    """A number of workers, and the part of the rate that they get."""

    workers: int
    part: float


_ONE, _TWO, _HALF = _Load(1, 1), _Load(2, 1), _Load(1, 0.5)


class _Found(NamedTuple):
    """The rate, and the median run of each load."""

    rate: float
    runs: Mapping[_Load, _Run]

    def ratio(self, load: _Load) -> float:
        """Return the CPU for a request with two workers, beside that with this load."""
        return self.runs[_TWO].cost / self.runs[load].cost


def workers(length: Length, folder: Path) -> Iterator[Section]:
    """Compare two workers with one."""
    with ExitStack() as stack:
        charter = without_hashes(installed(stack.enter_context(postgresql())))
        services = {
            count: stack.enter_context(beginning(charter, _CORES, CHARTER_WORKERS=str(count))) for count in (1, 2)
        }
        with connected(services[1].port) as client_:
            for username in _USERS:
                client_.succeed(client.sign_up(username))
        found = {name: _compare(operation, services, length, folder) for name, operation in _OPERATIONS.items()}
    yield _section(found)


def _compare(operation: _Operation, services: Mapping[int, Service], length: Length, folder: Path) -> _Found:
    rate = _most(operation, services[1], length, folder) / 2
    runs: dict[_Load, list[_Run]] = {load: [] for load in (_ONE, _TWO, _HALF)}
    # The first round is for warming up.
    for number in range(length.rounds + 1):
        for load in runs:
            run = _run(operation, services[load.workers], rate * load.part, length.seconds)
            runs[load] += [run] if number else []
    return _Found(rate, {load: _Run(*map(median, zip(*each, strict=True))) for load, each in runs.items()})


def _most(operation: _Operation, service: Service, length: Length, folder: Path) -> float:
    """Return the number of requests that a service completes in a second."""
    file = folder / "requests"
    file.write_text("\0".join(operation.request(pair).raw for pair in _log_in(service)))
    return once(service, file, length.seconds, operation.order).rate


def _run(operation: _Operation, service: Service, rate: float, seconds: float) -> _Run:
    source = operation.source(_log_in(service))
    before = service.spent
    result = paced(service.port, source, rate, seconds)
    assert set(result.statuses) == {200}, result
    return _Run((service.spent - before) / result.responses * 1e6, result.p99)


def _log_in(service: Service) -> list[Pair]:
    with connected(service.port) as client_:
        return [client_.succeed(client.log_in(username)) for username in _USERS]


def _section(found: Mapping[str, _Found]) -> Section:
    columns = (
        "operation",
        "requests/s",
        "CPU µs with 1 worker",
        "with 2",
        "with 1 at half of the rate",
        "ratio",
        "at the same rate per worker",
        "p99 ms with 1 worker",
        "with 2",
    )
    rows = (_row(_OPERATIONS[name].title, each) for name, each in found.items())
    figures = {f"workers/{name}": each.ratio(_ONE) for name, each in found.items()}
    figures |= {f"workers/{name}/each": each.ratio(_HALF) for name, each in found.items()}
    return Section("Two workers on PostgreSQL, at half of what one can serve", table(columns, rows), figures, {})


def _row(title: str, found: _Found) -> Iterator[str]:
    one, two, half = (found.runs[load] for load in (_ONE, _TWO, _HALF))
    yield from (title, f"{found.rate:,.0f}", f"{one.cost:.0f}", f"{two.cost:.0f}", f"{half.cost:.0f}")
    yield from (f"{found.ratio(_ONE):.2f}", f"{found.ratio(_HALF):.2f}", f"{one.p99:.1f}", f"{two.p99:.1f}")
