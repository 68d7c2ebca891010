"""A benchmark of rejected log-ins: their time must not reveal whether the user exists or is disabled.

It compares the medians of interleaved log-ins and fails if one differs by more than 5 %. Run it with
`.venv/bin/python -m benchmarks.login_timing`. It takes about two minutes.
"""

import logging
import secrets
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from sqlalchemy import URL
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.services import users
from api.storage import revisions
from api.storage.database import Database

ROUNDS = 200
WRONG = "a wrong password"


def main() -> None:
    """Print the medians of 200 log-ins for known, unknown and disabled users, and their ratios to the first."""
    logging.disable()
    with TemporaryDirectory() as folder:
        timings = _measure(URL.create("sqlite", database=str(Path(folder) / "charter.db")))
    medians = {label: median(seconds) * 1000 for label, seconds in timings.items()}
    ratios = {label: milliseconds / medians["alice"] for label, milliseconds in medians.items()}
    for label, ratio in ratios.items():
        print(f"{label:25} {medians[label]:8.2f} ms   {ratio:.3f}")
    if any(not 0.95 <= ratio <= 1.05 for ratio in ratios.values()):
        sys.exit("The time of a rejected log-in reveals which users exist.")


def _measure(url: URL) -> dict[str, list[float]]:
    """Return the seconds of each rejected log-in, by label. The labels take turns."""
    database = Database(url)
    revisions.upgrade(database.engine)
    config = Config(
        database_url=url,
        secret=secrets.token_bytes(32),
        pepper=secrets.token_bytes(32),
        bcrypt_cost=10,
        rate_limits=("off",),
    )
    with TestClient(create_app(config)) as client:
        tries = _tries(client, database)
        timings: dict[str, list[float]] = {label: [] for label in tries}
        for _ in range(ROUNDS):
            for label, credentials in tries.items():
                timings[label].append(_refusal(client, *credentials))
    database.dispose()
    return timings


def _tries(client: TestClient, database: Database) -> dict[str, tuple[str, str]]:
    """Create two users and disable one. Return credentials that are rejected, by label."""
    password = secrets.token_urlsafe(16)
    for username in ("alice", "disabled"):
        form = {"username": username, "email": f"{username}@example.com", "password": password}
        assert client.post("/api/v1/auth/signup", json=form).status_code == 201
    with database.transaction() as db:
        users.disable(db, "disabled")
    names = ("alice", "nobody", "alice@example.com", "nobody@example.com", "disabled")
    return {name: (name, WRONG) for name in names} | {"disabled, right password": ("disabled", password)}


def _refusal(client: TestClient, name: str, password: str) -> float:
    body = {"username": name, "password": password}
    start = perf_counter()
    status = client.post("/api/v1/auth/login", json=body).status_code
    seconds = perf_counter() - start
    assert status == 401
    return seconds


if __name__ == "__main__":
    main()
