"""A large table of live budgets, a million in the long form: new ones come and go, and nothing grows."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import mean
from time import time

from sqlalchemy import Connection, create_engine, text

from api.config import Config
from api.storage.rate_limit_store import CREATE_TABLE
from benchmarks.speed import client
from benchmarks.speed.charter import INSTANT
from benchmarks.speed.load import Request
from benchmarks.speed.paced import Paced, paced
from tests.support.charter import Charter, Server, is_ready, until

MILLION, FEWER, LIVE_SECONDS = 1_000_000, 200_000, 7200
# Each guess needs two budgets, that of a minute and that of an hour.
LONG, SHORT, RATE = 10_000, 500, 100
_FILL_ON_SQLITE = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
    INSERT INTO rate_limits SELECT randomblob(16), :tat FROM n
"""
_FILL_ON_POSTGRESQL = """
    INSERT INTO rate_limits SELECT decode(md5(CAST(i AS text)), 'hex'), :tat FROM generate_series(1, :rows) AS n (i)
"""


class Guesses:
    """Wrong log-ins, each with a name that no other one has."""

    def __init__(self) -> None:
        self.numbers = count()

    def take(self) -> Request:
        return client.log_in(f"guessed{next(self.numbers)}")

    def give(self, body: bytes) -> None:
        pass


def fill(config: Config, live: int) -> None:
    """Add so many budgets that stay in use during the test."""
    values = {"rows": live, "tat": int((time() + LIVE_SECONDS) * 1e6)}
    with _connected(config) as connection:
        if config.is_shared:
            connection.execute(text(_FILL_ON_POSTGRESQL), values)
            connection.execute(text("ANALYZE rate_limits"))
        else:
            connection.execute(CREATE_TABLE)
            connection.execute(text(_FILL_ON_SQLITE), values)


def rows(config: Config) -> int:
    """Return the number of budgets."""
    with _connected(config) as connection:
        found: int = connection.execute(text("SELECT count(*) FROM rate_limits")).scalar_one()
    return found


@contextmanager
def _connected(config: Config) -> Iterator[Connection]:
    """Yield a connection to the database that contains the budgets."""
    url = config.database_url
    engine = create_engine(url if config.is_shared else url.set(database=f"{url.database}-limits"))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def resident(server: Server) -> int:
    """Return the memory of a service in KB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@contextmanager
def serving(charter: Charter, most: int) -> Iterator[Server]:
    """Run a service that hashes no passwords. It deletes budgets fast while there are more than half of `most`."""
    charter.settings |= {
        "CHARTER_RATE_LIMITS": "logIn.address=off",
        "CHARTER_LIMIT_ROWS": str(most),
        "CHARTER_LOG_FORMAT": "json",
        "PYTHONPATH": str(INSTANT),
    }
    with charter.serving() as server:
        until(lambda: is_ready(server.url))
        yield server


def guess(server: Server, guesses: Guesses, number: int) -> Paced:
    """Send so many guesses at a constant rate."""
    return paced(int(server.url.rpartition(":")[2]), guesses, RATE, number / RATE)


def quiet(charter: Charter, guesses: Guesses, number: int) -> Paced:
    """Send guesses to a service that deletes few budgets, because the table may have many more."""
    with serving(charter, 1000 * MILLION) as server:
        guess(server, guesses, number // 5)
        return guess(server, guesses, number)


def test_new_budgets_beside_many_leave_memory_and_table_as_they_were(
    config: Config, installed: Charter, long: bool
) -> None:
    live = MILLION if long else FEWER
    fill(config, live)
    guesses, number = Guesses(), (LONG if long else SHORT) // 2
    # A quiet run before and one after: other load on the machine affects both. A short run has too few slow requests.
    quiet_runs = [quiet(installed, guesses, number)] if long else []
    with serving(installed, 3 * live // 2) as server:
        guess(server, guesses, number // 5)
        resident_before = resident(server)
        purging = [guess(server, guesses, number) for _ in range(2)]
        resident_after, most = resident(server), rows(config)
        # A table that was not purged would keep all of them.
        until(lambda: rows(config) < most - number // 50)
    quiet_runs += [quiet(installed, guesses, number)] if long else []
    assert most <= live + 2 * next(guesses.numbers)
    assert all(run.statuses == {401: number} for run in (*quiet_runs, *purging)), (quiet_runs, purging)
    assert resident_after < 1.05 * resident_before
    p99 = [[run.p99 for run in runs] for runs in (quiet_runs, purging)]
    assert not long or mean(p99[1]) <= 2 * mean(p99[0]), p99
