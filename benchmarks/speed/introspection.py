"""The introspection of a token by another service, beside the profile that the token itself requests."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.speed import charter
from benchmarks.speed.load import FORM, Request, Run
from benchmarks.speed.measure import Length, Trial, in_turns, once
from benchmarks.speed.report import table
from benchmarks.speed.results import Section
from benchmarks.speed.service import Service
from tests.support.installations import DATABASES
from tests.support.service_accounts import basic, new_service

_PROFILE, _QUESTION = "GET /api/v1/me", "POST /oauth/introspect"


def introspection(length: Length, folder: Path) -> Iterator[Section]:
    """Compare both on each database. The process has cached the token, its user and the secret of the service."""
    for database, new in DATABASES.items():
        with ExitStack() as stack:
            config = stack.enter_context(new())
            place = stack.enter_context(charter.served(config))
            authorization = basic(new_service(config))["Authorization"]
            question = Request(
                "/oauth/introspect", body=urlencode({"token": place.token}), kind=FORM, authorization=authorization
            )
            requests = {_PROFILE: Request("/api/v1/me", place.token), _QUESTION: question}
            trials = {name: _sending(place.service, request, folder) for name, request in requests.items()}
            yield _section(database, in_turns(trials, length))


def _sending(service: Service, request: Request, folder: Path) -> Trial:
    file = folder / request.method
    file.write_text(request.raw)

    def trial(_: int, seconds: int) -> Run:
        with service.awake():
            return once(service, file, seconds)

    return trial


def _section(database: str, runs: Mapping[str, Run]) -> Section:
    ratio = runs[_QUESTION].cost / runs[_PROFILE].cost
    rows = [
        (name, f"{run.rate:,.0f}", f"{run.p99:.2f}", f"{run.cost:.0f}", f"{run.cost / runs[_PROFILE].cost:.2f}")
        for name, run in runs.items()
    ]
    columns = ("request", "requests/s", "p99 ms", "CPU µs each", "ratio")
    title = f"Introspection of a token, on {database}"
    return Section(title, table(columns, rows), {f"introspection/{database}": ratio}, {})
