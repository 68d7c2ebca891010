"""Whether any valid token is refused while the signing key is rotated every second, under 200 requests a second.

Two processes of `charter serve` share one database, and every request goes to either of them; one in ten is a refresh,
so each key signs. All tokens that were ever given out are tried again and again, for all of them are still good.

Run it with `.venv/bin/python -m benchmarks.rotation`; it takes 30 seconds. The database is a new one of SQLite, or the
one at DATABASE_URL.
"""

import asyncio
import logging
import os
import random
import secrets
import subprocess
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import httpx
from sqlalchemy import URL

from api import revisions
from api.database import Database
from api.keys import ALGORITHMS, Vault
from api.parsers import database_url
from api.services import signing_keys
from api.services.signing_keys import Keyring

_COMMAND = Path(sys.executable).parent / "charter"
_PEOPLE = 20
_LIFETIME = 900


@dataclass
class Outcome:
    """What became of the requests: how many there were of each kind, and what was answered to those that failed."""

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
            f" refreshes, tokens of {len(self.keys)} keys; refused: {refused}"
        )


class Crowd:
    """People who log in once and then go on by refresh, and every token that they were given."""

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
        """Try a token: one of the newest, or any."""
        newest = self._tokens[-_PEOPLE:]
        token = random.choice(random.choice([newest, self._tokens]))
        self._count(await self._anyone().get("/protected", headers={"Authorization": f"Bearer {token}"}))

    async def refresh(self) -> None:
        """Get the next tokens for whoever has waited longest."""
        self._outcome.refreshes += 1
        body = {"refresh_token": self._refresh_tokens.popleft()}
        answer = await self._anyone().post("/api/v1/auth/refresh", json=body)
        if self._count(answer):
            self._keep(answer)

    def _anyone(self) -> httpx.AsyncClient:
        return random.choice(self._clients)

    def _count(self, answer: httpx.Response) -> bool:
        self._outcome.requests += 1
        if not answer.is_success:
            self._outcome.refused[f"{answer.status_code} {answer.json()['code']}"] += 1
        return answer.is_success

    def _keep(self, answer: httpx.Response) -> None:
        pair = answer.raise_for_status().json()
        self._tokens.append(pair["access_token"])
        self._refresh_tokens.append(pair["refresh_token"])
        # The header names the key, and is the same for all tokens of one.
        self._outcome.keys.add(pair["access_token"].partition(".")[0])


def run(url: URL, rotations: int, rate: int) -> Outcome:
    """Rotate once a second under `rate` requests a second, on the database at `url`."""
    secret, pepper = secrets.token_bytes(32), secrets.token_bytes(32)
    keyring = Keyring(Vault(secret), ALGORITHMS[0], _LIFETIME)
    database = Database(url)
    revisions.upgrade(database.engine)
    with database.transaction() as db:
        keyring.signing(db)
    environment = {
        "PATH": os.defpath,
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "CHARTER_SECRET": secret.hex(),
        "CHARTER_PEPPER": pepper.hex(),
        "CHARTER_BCRYPT_COST": "10",
        "CHARTER_PORT": "0",
    }
    with ExitStack() as stack:
        stack.callback(database.dispose)
        urls = [stack.enter_context(_serving(environment)) for _ in range(2)]
        return asyncio.run(_trial(urls, database, keyring, Outcome(rotations, rate)))


@contextmanager
def _serving(environment: dict[str, str]) -> Iterator[str]:
    """The base URL of a `charter serve`, stopped at the end."""
    quiet = subprocess.DEVNULL
    command = [str(_COMMAND), "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[1]
        finally:
            process.terminate()


async def _trial(urls: list[str], database: Database, keyring: Keyring, outcome: Outcome) -> Outcome:
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
    """Numbers from 0, one in so many seconds, whatever is done with them."""
    began = monotonic()
    for number in range(times):
        await asyncio.sleep(began + number * seconds - monotonic())
        yield number


def main() -> None:
    """Print the outcome in one line; fail when a valid token was refused."""
    logging.disable()
    with TemporaryDirectory() as folder:
        new = URL.create("sqlite", database=str(Path(folder) / "charter.db"))
        given = os.environ.get("DATABASE_URL")
        outcome = run(database_url(given) if given else new, rotations=30, rate=200)
    print(outcome)
    if outcome.refused or len(outcome.keys) < outcome.rotations:
        sys.exit("A valid token was refused, or a key never signed.")


if __name__ == "__main__":
    main()
