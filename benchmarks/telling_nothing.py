"""Whether the time of a refused log-in tells that the user exists: medians of interleaved log-ins, as ratios.

It fails when one of them is off by more than 5 %.

Run it with `.venv/bin/python -m benchmarks.telling_nothing`; it takes about a minute.
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

from api import revisions
from api.app import create_app
from api.config import Config
from api.database import Database

ROUNDS = 200


def main() -> None:
    """Print the medians of 200 log-ins with a wrong password for a known and an unknown user, and their ratio."""
    logging.disable()
    with TemporaryDirectory() as folder:
        url = URL.create("sqlite", database=str(Path(folder) / "charter.db"))
        database = Database(url)
        revisions.upgrade(database.engine)
        database.dispose()
        config = Config(
            database_url=url, secret=secrets.token_bytes(32), pepper=secrets.token_bytes(32), bcrypt_cost=10
        )
        with TestClient(create_app(config)) as client:
            form = {"username": "alice", "email": "alice@example.com", "password": secrets.token_urlsafe(16)}
            assert client.post("/api/v1/auth/signup", json=form).status_code == 201
            timings: dict[str, list[float]] = {
                name: [] for name in ("alice", "nobody", "alice@example.com", "nobody@example.com")
            }
            for _ in range(ROUNDS):
                for name, seconds in timings.items():
                    seconds.append(_refusal(client, name))
    medians = {name: median(seconds) * 1000 for name, seconds in timings.items()}
    ratios = {name: milliseconds / medians["alice"] for name, milliseconds in medians.items()}
    for name, ratio in ratios.items():
        print(f"{name:20} {medians[name]:8.2f} ms   {ratio:.3f}")
    if any(not 0.95 <= ratio <= 1.05 for ratio in ratios.values()):
        sys.exit("The time of a refusal tells who exists.")


def _refusal(client: TestClient, name: str) -> float:
    body = {"username": name, "password": "a wrong password"}
    start = perf_counter()
    status = client.post("/api/v1/auth/login", json=body).status_code
    seconds = perf_counter() - start
    assert status == 401
    return seconds


if __name__ == "__main__":
    main()
