"""The rate of requests, beside services that return the same responses."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed import baselines, charter
from benchmarks.speed.charter import Place
from benchmarks.speed.load import Request
from benchmarks.speed.measure import Batches, Length, again, taking_turns
from benchmarks.speed.report import rates
from benchmarks.speed.results import Section
from benchmarks.speed.service import Service
from tests.support.installations import DATABASES, sqlite

_ORDER: dict[str, object] = {
    "customer": "Alice Example",
    "reference": "CH-000042",
    "currency": "EUR",
    "priority": 2,
    "gift": True,
    "note": "Please ring twice; the dog is friendly.",
    "items": [
        {"sku": "TEA-0001", "quantity": 2, "cents": 1250},
        {"sku": "CUP-0007", "quantity": 4, "cents": 890},
        {"sku": "POT-0100", "quantity": 1, "cents": 3999},
    ],
}
# A run ends early when its tokens are used up. Its rate is still correct.
_FRESH_A_SECOND = 6_000
# The members whose values each service generates.
_OWN = {"id", "created_at"}


class Case(NamedTuple):
    """A case to measure: the request, a similar request that must be rejected, and the requests of each round."""

    title: str
    request: Callable[[Place], Request]
    wrong: Callable[[Place], Request]
    batches: Callable[[Place, Length], Batches]


def _again(title: str, request: Callable[[Place], Request], wrong: Callable[[Place], Request]) -> Case:
    return Case(title, request, wrong, lambda place, _: again(request(place)))


def _order(order: dict[str, object]) -> Callable[[Place], Request]:
    return lambda _: Request("/api/v1/orders", body=json.dumps(order))


def _with_token(path: str) -> Callable[[Place], Request]:
    return lambda place: Request(path, place.token)


def _with_forgery(path: str) -> Callable[[Place], Request]:
    # The token with its signature reversed.
    return lambda place: Request(path, f"{place.token[:-80]}{place.token[:-81:-1]}")


def _fresh(place: Place, length: Length) -> Batches:
    def batch(number: int) -> Iterator[Request]:
        seconds = length.seconds if number else 1
        return (Request("/protected", token) for token in place.fresh(seconds * _FRESH_A_SECOND))

    return batch


_SEEN = "GET /protected, a token seen before"
_NEW = "GET /protected, a new token each time"
CASES = {
    "ping": _again("GET /ping", lambda _: Request("/ping"), lambda _: Request("/pong")),
    "protected": _again(_SEEN, _with_token("/protected"), _with_forgery("/protected")),
    "fresh": Case(_NEW, _with_token("/protected"), _with_forgery("/protected"), _fresh),
    "orders": _again("POST /api/v1/orders", _order(_ORDER), _order(_ORDER | {"priority": 6})),
}
_ME = _again("GET /api/v1/me", _with_token("/api/v1/me"), _with_forgery("/api/v1/me"))


def beside_all(name: str, length: Length, folder: Path) -> Iterator[Section]:
    """Measure a case on Charter and on each baseline without a database."""
    with ExitStack() as stack:
        place = stack.enter_context(charter.served(stack.enter_context(sqlite())))
        others = {
            baseline: stack.enter_context(start(place, folder)) for baseline, start in baselines.BASELINES.items()
        }
        services = {"Charter": place.service} | others
        section = _compare(CASES[name], place, services, length, folder)
        yield section._replace(figures={f"{name}/{baseline}": ratio for baseline, ratio in section.figures.items()})


def me(length: Length, folder: Path) -> Iterator[Section]:
    """Measure the caller's profile on each database. The baseline has a database of its own."""
    for database, new in DATABASES.items():
        with ExitStack() as stack:
            place = stack.enter_context(charter.served(stack.enter_context(new())))
            url = stack.enter_context(new()).database_url.render_as_string(hide_password=False)
            baseline = stack.enter_context(baselines.template(place, folder, url))
            case = _ME._replace(title=f"{_ME.title} on {database}")
            services = {"Charter": place.service, "FastAPI, template": baseline}
            section = _compare(case, place, services, length, folder)
            figures = {f"me/{database}": section.figures["FastAPI, template"]}
            memory = {f"resident/{database}": 100 * place.service.resident / baseline.resident}
            yield section._replace(figures=figures | memory)


def _compare(case: Case, place: Place, services: Mapping[str, Service], length: Length, folder: Path) -> Section:
    _check_alike(services, case.request(place), case.wrong(place))
    runs = taking_turns(services, case.batches(place, length), length, folder)
    ratios = {name: runs["Charter"].rate / run.rate for name, run in runs.items()}
    return Section(case.title, rates(services, runs), ratios, {name: run.rate for name, run in runs.items()})


def _check_alike(services: Mapping[str, Service], request: Request, wrong: Request) -> None:
    answers = {name: _answer(service, request) for name, service in services.items()}
    assert len({json.dumps(answer, sort_keys=True) for answer in answers.values()}) == 1, answers
    refusals = {name: _answer(service, wrong) for name, service in services.items()}
    assert all(400 <= status < 500 for status, _ in refusals.values()), refusals


def _answer(service: Service, request: Request) -> tuple[int, dict[str, object]]:
    connection = HTTPConnection("127.0.0.1", service.port)
    with service.awake():
        connection.request(request.method, request.path, request.body or None, request.headers)
        answer = connection.getresponse()
        # Flask and gunicorn have no JSON for unknown paths.
        said = json.load(answer) if answer.status < 400 else {}
    connection.close()
    return answer.status, {name: member for name, member in said.items() if name not in _OWN}
