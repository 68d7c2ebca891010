"""The rate of requests with an API key, beside those with an access token, on one service."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.speed import charter
from benchmarks.speed.client import connected
from benchmarks.speed.load import Request, Run
from benchmarks.speed.measure import Length, Trial, in_turns, once
from benchmarks.speed.report import rates
from benchmarks.speed.results import Section
from benchmarks.speed.service import Service
from tests.support.installations import sqlite

_KEY, _TOKEN = "Charter", "Charter, access token"
_FORM = '{"name": "Benchmark", "scopes": ["profile"]}'


def keys(length: Length, folder: Path) -> Iterator[Section]:
    """Compare an API key with the access token that created it. Both are cached."""
    with ExitStack() as stack:
        place = stack.enter_context(charter.served(stack.enter_context(sqlite())))
        with place.service.awake(), connected(place.service.port) as client_:
            key = client_.succeed(Request("/api/v1/keys", place.token, _FORM))["key"]
        runs = in_turns(
            {
                name: _trial(place.service, folder / f"requests-{number}", credential)
                for number, (name, credential) in enumerate([(_KEY, key), (_TOKEN, place.token)])
            },
            length,
        )
        table = rates(dict.fromkeys(runs, place.service), runs)
    yield Section("GET /protected, an API key", table, {"keys": 100 * runs[_KEY].rate / runs[_TOKEN].rate}, {})


def _trial(service: Service, file: Path, credential: str) -> Trial:
    file.write_text(Request("/protected", credential).raw)

    def trial(_: int, seconds: int) -> Run:
        with service.awake():
            return once(service, file, seconds)

    return trial
