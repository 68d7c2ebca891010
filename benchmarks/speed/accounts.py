"""Sign-up, log-in, refresh and the list of sessions, beside FastAPI with SQLModel. Password hashes cost nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed import baselines, client
from benchmarks.speed.charter import elsewhere, installed, serving, without_hashes
from benchmarks.speed.client import Client, connected
from benchmarks.speed.load import Order, Request, Run
from benchmarks.speed.measure import Length, Trial, in_turns, once
from benchmarks.speed.report import rates
from benchmarks.speed.results import Section
from benchmarks.speed.service import CORE, Service
from tests.support.installations import DATABASES

_BASELINE, _BASE, _PROTECTED = "FastAPI, SQLModel", "Charter before", "Charter, GET /protected"
# With fewer users, the log-ins of a run would exceed the limit of sessions.
_USERS = [f"user{number:08}" for number in range(1_024)]
# More users than connections, so that no two simultaneous requests use the same refresh token.
_REFRESHING = _USERS[:64]
_SESSIONS_OF_A_USER = 3


class Case(NamedTuple):
    """An operation. `prepare` sets a service up for the round with this number, and returns the requests to send."""

    title: str
    prepare: Callable[[Client, int], Sequence[Request]]
    order: Order


def _refreshes(client_: Client, _: int) -> list[Request]:
    return [client.refresh(token) for token in client.refresh_tokens(client_, _REFRESHING)]


def _log_ins(_: Client, __: int) -> list[Request]:
    return [client.log_in(name) for name in _USERS]


def _sign_ups(_: Client, number: int) -> list[Request]:
    return [client.sign_up(f"new{number}user00000000")]


def _lists(client_: Client, number: int) -> list[Request]:
    username = f"lister{number}"
    client_.succeed(client.sign_up(username))
    pairs = [client_.succeed(client.log_in(username)) for _ in range(_SESSIONS_OF_A_USER)]
    return [Request(client.SESSIONS, pairs[0]["access_token"])]


def _protected(client_: Client, _: int) -> list[Request]:
    return [Request("/protected", client_.succeed(client.log_in(_USERS[0]))["access_token"])]


CASES = {
    "refresh": Case("POST /api/v1/auth/refresh", _refreshes, "chain"),
    "login": Case("POST /api/v1/auth/login, without the hash", _log_ins, "again"),
    "signup": Case("POST /api/v1/auth/signup, without the hash", _sign_ups, "count"),
    "sessions": Case(f"GET /api/v1/sessions, {_SESSIONS_OF_A_USER} of them", _lists, "again"),
}
_BESIDE = Case("GET /protected", _protected, "again")


def accounts(name: str, base: Path | None, length: Length, folder: Path) -> Iterator[Section]:
    """Measure a case on each database, beside the baseline, GET /protected and the Charter of the checkout `base`."""
    for database in DATABASES:
        with ExitStack() as stack:
            services = {
                service: stack.enter_context(start)
                for service, start in _services(stack, database, folder, base).items()
            }
            for service in services.values():
                _add_users(service)
            _check_reuse_detection(services[_BASELINE])
            yield _compare(name, database, services, length, folder)


def _services(
    stack: ExitStack, database: str, folder: Path, base: Path | None
) -> dict[str, AbstractContextManager[Service]]:
    new = DATABASES[database]
    ours = {"Charter": installed(stack.enter_context(new()))}
    if base:
        ours[_BASE] = elsewhere(stack.enter_context(new()), base)
    url = stack.enter_context(new()).database_url.render_as_string(hide_password=False)
    starting = {name: serving(without_hashes(charter), frozenset({CORE})) for name, charter in ours.items()}
    return starting | {_BASELINE: baselines.accounts(folder, url)}


def _add_users(service: Service) -> None:
    with service.awake(), connected(service.port) as client_:
        for username in _USERS:
            client_.succeed(client.sign_up(username))


def _check_reuse_detection(baseline: Service) -> None:
    """Check that a used refresh token ends its session, so that the next token is rejected."""
    with baseline.awake(), connected(baseline.port) as client_:
        used = client_.succeed(client.log_in(_USERS[0]))["refresh_token"]
        following = client_.succeed(client.refresh(used))["refresh_token"]
        responses = [client_.send(client.refresh(token)) for token in (used, following)]
    assert [response.status for response in responses] == [401, 401], responses


def _compare(name: str, database: str, services: Mapping[str, Service], length: Length, folder: Path) -> Section:
    trials = {each: _trial(CASES[name], service, folder) for each, service in services.items()}
    shown = dict(services) | {_PROTECTED: services["Charter"]}
    runs = in_turns(trials | {_PROTECTED: _trial(_BESIDE, services["Charter"], folder)}, length)
    return Section(f"{CASES[name].title}, on {database}", rates(shown, runs), _figures(name, database, runs), {})


def _trial(case: Case, service: Service, folder: Path) -> Trial:
    file = folder / f"requests-{service.port}"

    def trial(number: int, seconds: int) -> Run:
        with service.awake():
            with connected(service.port) as client_:
                file.write_text("\0".join(request.raw for request in case.prepare(client_, number)))
            return once(service, file, seconds, case.order)

    return trial


def _figures(name: str, database: str, runs: Mapping[str, Run]) -> dict[str, float]:
    """Return the CPU of a request in proportion to that of each other service."""
    costs = {other: runs["Charter"].cost / run.cost for other, run in runs.items()}
    return {
        f"{name}/{database}/baseline": 100 * costs[_BASELINE],
        f"{name}/{database}/protected": costs[_PROTECTED],
    } | ({f"{name}/{database}/base": 100 * costs[_BASE]} if _BASE in costs else {})
