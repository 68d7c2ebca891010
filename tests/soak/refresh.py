"""Check that 20 simultaneous refreshes with one token leave one live successor, with two processes on one database.

Run it with `.venv/bin/python -m tests.soak.refresh`. It takes about a minute.
"""

import sys
from collections import Counter
from contextlib import ExitStack
from functools import partial
from time import perf_counter, sleep
from typing import NamedTuple

import httpx

from api.config import Config
from tests.support.charter import beside
from tests.support.concurrency import at_once
from tests.support.installations import DATABASES
from tests.support.person import Person

ROUNDS = 50
AT_ONCE = 20
_GRACE_SECONDS = 10


class Round(NamedTuple):
    """The results of simultaneous refreshes with one token: their statuses and their refresh tokens."""

    statuses: Counter[int]
    successors: set[str]


class Outcome(NamedTuple):
    """The results of all rounds. `successors` has the numbers of live tokens of a session after the grace period."""

    rounds: int
    statuses: Counter[int]
    sessions: int
    successors: set[int]
    seconds: float

    @property
    def holds(self) -> bool:
        """Return True if each refresh succeeded and each session has one live successor."""
        everybody = Counter({200: self.rounds * AT_ONCE})
        return self.statuses == everybody and self.sessions == self.rounds and self.successors == {1}

    def __str__(self) -> str:
        statuses = ", ".join(f"{count} times {status}" for status, count in sorted(self.statuses.items()))
        return (
            f"{self.rounds} rounds of {AT_ONCE}: {statuses}; {self.sessions} sessions, "
            f"live successors in each: {', '.join(map(str, sorted(self.successors)))}; {self.seconds:.1f} s"
        )


def main() -> None:
    """Print the results of 50 rounds on each database."""
    outcomes = []
    for name, new in DATABASES.items():
        with new() as config:
            outcomes.append(trial(config, ROUNDS))
        print(f"{name:12}{outcomes[-1]}")
    if not all(outcome.holds for outcome in outcomes):
        sys.exit("A session has two live successors, or none.")


def trial(config: Config, rounds: int) -> Outcome:
    """Serve the database with two processes, and run the rounds of refreshes."""
    charter = beside(config)
    charter.settings["CHARTER_REFRESH_GRACE_SECONDS"] = str(_GRACE_SECONDS)
    charter.run("migrate", "--yes").check_returncode()
    with ExitStack() as stack:
        servers = [stack.enter_context(charter.serving()) for _ in range(2)]
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=30)) for server in servers]
        alice = Person(clients[0], "alice")
        alice.sign_up().raise_for_status()
        began = perf_counter()
        results = [_refresh(clients, alice) for _ in range(rounds)]
        seconds = perf_counter() - began
        sessions = len(alice.client.get("/api/v1/sessions?limit=100", headers=alice.headers).json()["items"])
        sleep(_GRACE_SECONDS)
        successors = {sum(_is_live(clients[1], token) for token in result.successors) for result in results}
    return Outcome(rounds, sum((result.statuses for result in results), Counter()), sessions, successors, seconds)


def _refresh(clients: list[httpx.Client], alice: Person) -> Round:
    """Log in, and refresh that session many times at once."""
    alice.log_in().raise_for_status()
    body = {"refresh_token": alice.refresh_token}
    calls = [partial(clients[number % 2].post, "/api/v1/auth/refresh", json=body) for number in range(AT_ONCE)]
    responses = at_once(*calls)
    statuses = Counter(response.status_code for response in responses)
    return Round(statuses, {response.json()["refresh_token"] for response in responses if response.is_success})


def _is_live(client: httpx.Client, token: str) -> bool:
    return client.post("/api/v1/auth/refresh", json={"refresh_token": token}).is_success


if __name__ == "__main__":
    main()
