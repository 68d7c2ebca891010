"""Check that no valid token is rejected while the signing key rotates every second under 200 requests a second.

Two processes of `charter serve` share one database, and each request goes to one of them at random. One request in ten
is a refresh, so that each key signs. The requests use all tokens issued so far, because all of them are still valid.

Run it with `.venv/bin/python -m tests.soak.rotation`. It takes about a minute.
"""

import asyncio
import logging
import random
import secrets
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic

import httpx

from api.config import Config
from api.services import signing_keys
from api.services.signing_keys import Keyring
from api.storage.database import Database
from tests.support.charter import beside
from tests.support.installations import DATABASES

_PEOPLE = 20


@dataclass
class Outcome:
    """The number of requests of each kind, and the responses of those that failed."""

    rotations: int
    rate: int
    requests: int = 0
    refreshes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        refused = ", ".join(f"{times} times {what}" for what, times in self.refused.items()) or "none"
        return (
            f"{self.rotations} rotations, {self.requests} requests at {self.rate} a second, {self.refreshes} of them"
            f" refreshes, tokens of {len(self.keys)} keys; rejected: {refused}"
        )


class Crowd:
    """Users who log in once and then refresh, with every token that was issued to them."""

    def __init__(self, clients: list[httpx.AsyncClient], outcome: Outcome) -> None:
        self._clients = clients
        self._outcome = outcome
        self._refresh_tokens: deque[str] = deque()
        self._tokens: list[str] = []

    async def join(self, username: str) -> None:
        """Sign up and log in."""
        person = {"username": username, "password": secrets.token_urlsafe(16)}
        form = person | {"email": f"{username}@example.com"}
        (await self._clients[0].post("/api/v1/auth/signup", json=form)).raise_for_status()
        self._keep(await self._clients[0].post("/api/v1/auth/login", json=person))

    async def ask(self) -> None:
        """Send a request with one of the newest tokens, or with any."""
        newest = self._tokens[-_PEOPLE:]
        token = random.choice(random.choice([newest, self._tokens]))
        self._count(await self._anyone().get("/protected", headers={"Authorization": f"Bearer {token}"}))

    async def refresh(self) -> None:
        """Refresh the tokens of the user whose last refresh is the oldest."""
        self._outcome.refreshes += 1
        body = {"refresh_token": self._refresh_tokens.popleft()}
        response = await self._anyone().post("/api/v1/auth/refresh", json=body)
        if self._count(response):
            self._keep(response)

    def _anyone(self) -> httpx.AsyncClient:
        return random.choice(self._clients)

    def _count(self, response: httpx.Response) -> bool:
        self._outcome.requests += 1
        if not response.is_success:
            self._outcome.refused[f"{response.status_code} {response.json()['code']}"] += 1
        return response.is_success

    def _keep(self, response: httpx.Response) -> None:
        pair = response.raise_for_status().json()
        self._tokens.append(pair["access_token"])
        self._refresh_tokens.append(pair["refresh_token"])
        # The header names the key, and is the same for all tokens of that key.
        self._outcome.keys.add(pair["access_token"].partition(".")[0])


def trial(config: Config, rotations: int, rate: int) -> Outcome:
    """Rotate once a second, while two processes serve the database under `rate` requests a second."""
    charter = beside(config)
    charter.run("migrate", "--yes").check_returncode()
    keyring = Keyring(config.secret, config.signing_algorithm, config.access_token_seconds)
    database = Database(config.database_url)
    with ExitStack() as stack:
        stack.callback(database.dispose)
        urls = [stack.enter_context(charter.serving()).url for _ in range(2)]
        return asyncio.run(_press(urls, database, keyring, Outcome(rotations, rate)))


async def _press(urls: list[str], database: Database, keyring: Keyring, outcome: Outcome) -> Outcome:
    async with httpx.AsyncClient(base_url=urls[0]) as one, httpx.AsyncClient(base_url=urls[1]) as two:
        crowd = Crowd([one, two], outcome)
        for number in range(_PEOPLE):
            await crowd.join(f"person{number}")
        async with asyncio.TaskGroup() as group:
            group.create_task(_rotate(database, keyring, outcome.rotations))
            group.create_task(_ask(crowd, outcome.rotations * outcome.rate, outcome.rate))
    return outcome


async def _rotate(database: Database, keyring: Keyring, times: int) -> None:
    def rotate() -> None:
        with database.transaction() as db:
            signing_keys.rotate(db, keyring)

    async for _ in _ticks(times, 1):
        await asyncio.to_thread(rotate)


async def _ask(crowd: Crowd, times: int, rate: int) -> None:
    async with asyncio.TaskGroup() as group:
        async for number in _ticks(times, 1 / rate):
            group.create_task(crowd.ask() if number % 10 else crowd.refresh())


async def _ticks(times: int, seconds: float) -> AsyncIterator[int]:
    """Yield the numbers from 0 at a fixed interval, however long the loop body takes."""
    began = monotonic()
    for number in range(times):
        await asyncio.sleep(began + number * seconds - monotonic())
        yield number


def main() -> None:
    """Print one line for each database. Exit with an error if a valid token was rejected."""
    logging.disable()
    outcomes = []
    for name, new in DATABASES.items():
        with new() as config:
            outcomes.append(trial(config, rotations=30, rate=200))
        print(f"{name:12}{outcomes[-1]}")
    if any(outcome.refused or len(outcome.keys) < outcome.rotations for outcome in outcomes):
        sys.exit("A valid token was rejected, or a key never signed.")


if __name__ == "__main__":
    main()
