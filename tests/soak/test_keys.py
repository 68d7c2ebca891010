"""API keys over several processes: a revocation reaches all of them under load, and keys survive a killed service."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import monotonic, sleep
from typing import NamedTuple

import httpx
import pytest

from api.config import Config
from tests.support.api_keys import Program, create_key
from tests.support.charter import beside
from tests.support.person import Person, newcomer

pytestmark = pytest.mark.usefixtures("forked")

WORKERS, ROUNDS = 4, 5
BOUND_SECONDS = 0.1
# Each worker gets requests for this time before a revocation, and for this time after it.
AROUND_SECONDS = 0.5


class Sent(NamedTuple):
    """When a request was sent, and the status of its response."""

    at: float
    status: int


@contextmanager
def workers(config: Config) -> Iterator[list[httpx.Client]]:
    """Start some processes on one database, and yield a client of each."""
    charter = beside(config)
    with ExitStack() as stack:
        urls = [stack.enter_context(charter.serving()).url for _ in range(WORKERS)]
        yield [stack.enter_context(httpx.Client(base_url=url, timeout=30)) for url in urls]


def keep_asking(program: Program, is_over: Callable[[], bool]) -> list[Sent]:
    found = []
    while not is_over():
        at = monotonic()
        found.append(Sent(at, program.get("/protected").status_code))
    return found


def revoke_under_load(alice: Person, clients: list[httpx.Client]) -> list[list[Sent]]:
    """Return the requests to each worker that were sent after the bound. All workers get requests all the time."""
    program = create_key(alice, "profile")
    everywhere = [replace(program, client=client) for client in clients]
    ends = monotonic() + 2 * AROUND_SECONDS
    with ThreadPoolExecutor(WORKERS) as pool:
        asking = [pool.submit(keep_asking, each, lambda: monotonic() > ends) for each in everywhere]
        sleep(AROUND_SECONDS)
        assert alice.delete(program.path).status_code == 204
        revoked = monotonic()
        sent = [each.result() for each in asking]
    # The key was valid on each worker before.
    assert [each[0].status for each in sent] == [200] * WORKERS
    return [[one for one in each if one.at > revoked + BOUND_SECONDS] for each in sent]


def test_a_revoked_key_ends_within_100_ms_on_four_busy_workers(config: Config) -> None:
    with workers(config) as clients:
        alice = newcomer(clients[0], "alice")
        for _ in range(ROUNDS):
            for late in revoke_under_load(alice, clients):
                assert {one.status for one in late} == {401}


def test_keys_survive_a_killed_service(config: Config) -> None:
    charter = beside(config)
    with charter.serving() as server, httpx.Client(base_url=server.url) as client:
        program = create_key(newcomer(client, "alice"), "profile")
        server.process.kill()
        server.process.wait()
    with charter.serving() as server, httpx.Client(base_url=server.url) as client:
        again = replace(program, client=client)
        assert again.get("/api/v1/me").json()["username"] == "alice"
        alice = Person(client, "alice")
        alice.log_in()
        assert [item["id"] for item in alice.get("/api/v1/keys").json()["items"]] == [program.row["id"]]
