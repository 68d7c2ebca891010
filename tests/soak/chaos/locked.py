"""A foreign process holds SQLite's only write lock for seconds."""

import sqlite3
from contextlib import closing
from time import sleep

from tests.soak.chaos.environment import Place
from tests.soak.chaos.report import Row, of_verdict


def locked(place: Place, seconds: float) -> list[Row]:
    """Write with 20 clients to two workers, while a foreign transaction stays open."""
    with place.served("--workers", "2") as server:
        load = place.load(server.url, clients=20)
        with load.writing():
            sleep(1)
            with closing(sqlite3.connect(str(place.config.database_url.database), isolation_level=None)) as writer:
                writer.execute("BEGIN IMMEDIATE")
                sleep(seconds)
            sleep(2)
        server.stop()
    failed = [response for response in load.responses if not response.success]
    return [
        Row(f"failed, of {len(load.responses):,} requests", 0, len(failed)),
        Row("slowest response", 5 + seconds, max(response.seconds for response in load.responses), "s"),
        *of_verdict(place.judged()),
    ]
