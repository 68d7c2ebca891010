"""Log-ins that a rate limit refuses, beside profiles that are read from the database."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.speed import client
from benchmarks.speed.charter import beginning
from benchmarks.speed.client import connected
from benchmarks.speed.filling import filled, roomy, username
from benchmarks.speed.load import Request
from benchmarks.speed.measure import Length
from benchmarks.speed.paced import Each, paced
from benchmarks.speed.report import table
from benchmarks.speed.results import Section
from benchmarks.speed.service import Service
from tests.support.charter import Charter
from tests.support.installations import DATABASES

_RATE = 300
# One attempt for a name in an hour. All guesses come from one address.
_LIMITS = "logIn.address=off,logIn.account=1/3600"
_PROFILE, _READ, _CACHED = "200, profile not cached", "429, budget read", "429, refusal cached"
_STATUSES = {_PROFILE: 200, _READ: 429, _CACHED: 429}


def refusals(length: Length, _: Path) -> Iterator[Section]:
    """Compare refused log-ins with profiles on each database."""
    count = _RATE * length.seconds
    users = count * (length.rounds + 1)
    for database, new in DATABASES.items():
        with new(roomy(users)) as config:
            charter = filled(config, users)
            limited = replace(charter, settings=charter.settings | {"CHARTER_RATE_LIMITS": _LIMITS})
            profiles = _profiles(charter, users)
            with beginning(limited) as service:
                guesses = _spent(service, count)
                # The first round is for warming up.
                rounds = [
                    _round(service, profiles[number * count :][:count], guesses) for number in range(length.rounds + 1)
                ][1:]
        yield _section(database, {name: median(each[name] for each in rounds) for name in _STATUSES})


def _profiles(charter: Charter, users: int) -> list[Request]:
    """Log each user in with another process, so that the measured one has nothing cached."""
    with beginning(charter) as service, connected(service.port) as client_:
        tokens = [client_.succeed(client.log_in(username(number)))["access_token"] for number in range(users)]
    return [Request("/api/v1/me", token) for token in tokens]


def _spent(service: Service, count: int) -> list[Request]:
    """Spend the budgets of so many names, and return the log-ins that will be refused."""
    guesses = [client.log_in(f"stranger{number}") for number in range(count)]
    with connected(service.port) as client_:
        statuses = {client_.send(guess).status for guess in guesses}
    assert statuses == {401}, statuses
    return guesses


def _round(service: Service, profiles: list[Request], guesses: list[Request]) -> dict[str, float]:
    """Return the microseconds of CPU for each kind of request."""
    batches = {_PROFILE: profiles, _READ: guesses, _CACHED: guesses[:1] * len(guesses)}
    return {name: _cost(service, batch, _STATUSES[name]) for name, batch in batches.items()}


def _cost(service: Service, requests: list[Request], status: int) -> float:
    before = service.spent
    result = paced(service.port, Each(requests), _RATE, len(requests) / _RATE)
    assert set(result.statuses) == {status}, result
    return (service.spent - before) / result.responses * 1e6


def _section(database: str, costs: Mapping[str, float]) -> Section:
    ratios = {name: cost / costs[_PROFILE] for name, cost in costs.items()}
    rows = [(name, f"{cost:.0f}", f"{ratios[name]:.2f}") for name, cost in costs.items()]
    figures = {f"refusal/{database}": max(ratios[_READ], ratios[_CACHED])}
    title = f"Log-ins that a rate limit refuses, on {database}"
    return Section(title, table(("response", "CPU µs each", "ratio"), rows), figures, {})
